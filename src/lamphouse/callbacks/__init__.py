"""Callbacks for any Trainer."""

from lamphouse.callbacks.ema import EMA
from lamphouse.callbacks.finite import StopNotFinite
from lamphouse.callbacks.progress import EpochProgress
from lamphouse.callbacks.throughput import Throughput

__all__ = ["EMA", "EpochProgress", "StopNotFinite", "Throughput"]
