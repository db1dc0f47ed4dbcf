"""Parameter groups and schedules that know the run's length."""

from lamphouse.optim.build import built, parameter_groups, scheduled, try_out
from lamphouse.optim.muon import ConvMuon
from lamphouse.optim.schedules import (
    BY_STEP,
    OneCycle,
    ReduceLROnPlateau,
    RunLengthLR,
    Schedule,
    WarmupCosineLR,
    WarmupLinearLR,
)

__all__ = [
    "BY_STEP",
    "ConvMuon",
    "OneCycle",
    "ReduceLROnPlateau",
    "RunLengthLR",
    "Schedule",
    "WarmupCosineLR",
    "WarmupLinearLR",
    "built",
    "parameter_groups",
    "scheduled",
    "try_out",
]
