"""Parameter groups, learning-rate schedules that know the length of the run, and Muon."""

from lamphouse.optim.build import call_option, optimizer_with_schedule, parameter_groups
from lamphouse.optim.muon import ConvMuon
from lamphouse.optim.schedules import OneCycle, ReduceLROnPlateau, RunLengthLR, Schedule, WarmupCosineLR, WarmupLinearLR

__all__ = [
    "ConvMuon",
    "OneCycle",
    "ReduceLROnPlateau",
    "RunLengthLR",
    "Schedule",
    "WarmupCosineLR",
    "WarmupLinearLR",
    "call_option",
    "optimizer_with_schedule",
    "parameter_groups",
]
