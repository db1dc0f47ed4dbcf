"""What watches a run."""

from arc_light.callbacks.checkpoint import EarlyStopping, RunCheckpoint
from arc_light.callbacks.ema import EMA
from arc_light.callbacks.finite import StopNotFinite
from arc_light.callbacks.last_checkpoint import LastCheckpoint
from arc_light.callbacks.metrics_csv import MetricsCSV
from arc_light.callbacks.progress import EpochProgress
from arc_light.callbacks.throughput import Throughput

__all__ = [
    "EMA",
    "EarlyStopping",
    "EpochProgress",
    "LastCheckpoint",
    "MetricsCSV",
    "RunCheckpoint",
    "StopNotFinite",
    "Throughput",
]
