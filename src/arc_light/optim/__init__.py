"""Parameter groups and schedules that know the run's length."""

from arc_light.optim.built import built, scheduled
from arc_light.optim.groups import parameter_groups
from arc_light.optim.muon import ConvMuon
from arc_light.optim.schedules import (
    BY_STEP,
    OneCycle,
    ReduceLROnPlateau,
    RunLengthLR,
    Schedule,
    WarmupCosineLR,
    WarmupLinearLR,
)
from arc_light.optim.trial import try_out

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
