"""Callbacks and checks for any Lightning Trainer."""

from lamphouse.callbacks.curves import StepCurve, Throughput, samples_of
from lamphouse.callbacks.ema import EMA
from lamphouse.callbacks.finite import FiniteCheck, Position, StopNotFinite
from lamphouse.callbacks.gradients import GradientNorms
from lamphouse.callbacks.processes import GlobalBatch
from lamphouse.callbacks.progress import EpochProgress, print_epoch
from lamphouse.callbacks.stopping import EarlyStop
from lamphouse.overhead import NoProfiler, SkipIdleHooks

# fmt: off
__all__ = [
    "EMA", "EarlyStop", "EpochProgress", "FiniteCheck", "GlobalBatch", "GradientNorms", "NoProfiler", "Position",
    "SkipIdleHooks", "StepCurve", "StopNotFinite", "Throughput", "print_epoch", "samples_of",
]
