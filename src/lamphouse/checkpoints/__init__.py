"""Checkpoints and exact resume."""

from lamphouse.checkpoints.best import BestCheckpoint
from lamphouse.checkpoints.files import WholeCheckpointIO, load_checkpoint, load_weights
from lamphouse.checkpoints.resume import ExactResume
from lamphouse.checkpoints.sharded import FullyShardedStrategy
from lamphouse.checkpoints.signals import StopSignals

__all__ = [
    "BestCheckpoint",
    "ExactResume",
    "FullyShardedStrategy",
    "StopSignals",
    "WholeCheckpointIO",
    "load_checkpoint",
    "load_weights",
]
