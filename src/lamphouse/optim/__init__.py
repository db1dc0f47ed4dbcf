"""Parameter groups and schedules that know the run's length."""

from lamphouse.optim.built import built, scheduled
from lamphouse.optim.groups import parameter_groups
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
from lamphouse.optim.trial import try_out

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
