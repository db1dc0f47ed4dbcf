"""Compare training loops, and run hand-written ones with the options, logs and checkpoints of a Trainer."""

from lamphouse.loops.differences import Difference, Outcome, compare
from lamphouse.loops.parity import table, verdict
from lamphouse.loops.refusals import refuse_unsupported
from lamphouse.loops.run import batches, train_handwritten
from lamphouse.loops.schedule import LRSchedule, optimizer_and_schedule
from lamphouse.loops.trace import Trace, record

# fmt: off
__all__ = [
    "Difference", "LRSchedule", "Outcome", "Trace", "batches", "compare", "optimizer_and_schedule", "record",
    "refuse_unsupported", "table", "train_handwritten", "verdict",
]
