"""The run's own tables of metrics: one of epochs, and one of steps."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.errors import InputError
from lamphouse.loggers.csv_file import CsvFile, Row

PARTS = [f"{part}/{name}" for part in ("train", "val", "test") for name in ("loss", "acc")]
COLUMNS = ("epoch", "step", *PARTS, "lr", "samples_per_second", "seconds")  # in this order; any others follow


class MetricsTable(Logger):
    """Writes a row for each epoch, for each validation within one, and for the test, to a CSV file.

    The file is complete at any time. `step` is the last one, counted from 0, before the metrics were measured. What is
    logged for single steps goes to a second file, `steps.csv` beside the first.

    Metrics may have any name. The row of an epoch is written with its first metrics called "train/..." or "test/...",
    which a `Task` logs last; other metrics are written when the next row begins or training ends. The rows that the
    file already has are kept, but those of epochs that are trained again.

    Raises:
        InputError: it is not a table that a run wrote.
    """

    name = "metrics"
    version = ""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._file = CsvFile(self.path, COLUMNS)
        self._steps = CsvFile(self.path.with_name("steps.csv"), ("step",), durable=False)  # steps wait for no disk
        self.rows = self._file.read()
        if not all({"epoch", "step"} <= row.keys() for row in self.rows):
            raise InputError(f"{self.path}: damaged: put the run's own table back, or delete it")
        self._row: Row = {}  # the last of this process, to which more metrics may be added
        self._unwritten = False
        self._trainer: Any = None

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def keep_before(self, epoch: int, step: int = 0) -> None:
        """Drop the rows of the test, and those from the batch of `epoch` on that follows `step` steps of the run."""
        done = (epoch, step)
        self.rows = [row for row in self.rows if not _is_test(row) and (row["epoch"], row["step"]) < done]

    def log_graph(self, model: Any, *args: Any, **kwargs: Any) -> None:
        """Remember the model's Trainer, which knows whether it logs a step or an epoch."""
        self._trainer = model.trainer

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        values, step = _shortest(metrics), step or 0
        if "epoch" not in metrics or within_epoch(self._trainer, "training"):
            self._log_step(values, step)
            return
        row = {**values, "epoch": int(metrics["epoch"]), "step": step}
        if all(self._row.get(name) == row[name] for name in ("epoch", "step")) and _is_test(self._row) == _is_test(row):
            self._row.update(row)
        else:
            self._begin(row)
        self._unwritten = True
        complete = any(name.startswith(("train/", "test/")) for name in metrics)
        if complete or within_epoch(self._trainer, "validating"):
            self.finalize()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave hyperparameters to the run's config.yaml."""

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        if self._unwritten:
            self._unwritten = False
            self._file.add(self._row, lambda: self.rows)

    def _begin(self, row: Row) -> None:
        self.finalize()  # the last row is complete
        if not self._row and self.rows:
            self._replace_from(row)
        self._row = row
        self.rows.append(row)

    def _replace_from(self, row: Row) -> None:
        """Drop the rows of an earlier process which this one, which resumed before them, logs again."""
        kept = [old for old in self.rows if _place(old) < _place(row)]
        if replaced := len(self.rows) - len(kept):
            print(f"{self.path}: {replaced} rows from epoch {row['epoch']} on are replaced", file=sys.stderr)
        self.rows = kept

    def _log_step(self, values: Row, step: int) -> None:
        batch = {}
        if self._trainer is not None and self._trainer.evaluating:  # of which `step` is a batch
            batch, step = {"batch": step}, max(self._trainer.global_step - 1, 0)
        row = {"step": step, **batch, **{name: value for name, value in values.items() if name != "epoch"}}
        resumed = not self._steps.columns  # by this process, which repeats later steps
        self._steps.add(row, lambda: [*(old for old in self._steps.read() if not resumed or old["step"] < step), row])


def within_epoch(trainer: Any, stage: str) -> bool:
    """Return whether a Trainer is in a stage within an epoch of training, of which batches are left."""
    if trainer is None or trainer.state.fn != TrainerFn.FITTING or not getattr(trainer, stage):
        return False
    done = trainer.fit_loop.epoch_progress.current
    return bool(done.processed == done.completed) and (stage == "training" or not trainer.is_last_batch)


def is_epochs(metrics: Iterable[str], trainer: Any) -> bool:
    """Return whether metrics are those of an epoch, and not of a step or of a validation within an epoch."""
    return "epoch" in metrics and not any(within_epoch(trainer, stage) for stage in ("training", "validating"))


def _place(row: Row) -> tuple[int, int, bool]:
    return row["epoch"], row["step"], _is_test(row)


def _is_test(row: Row) -> bool:
    return any(name.startswith("test") for name in row)


def _shortest(metrics: dict[str, float]) -> Row:
    """Round float32 values, which they were on the device, to the fewest digits that identify them: 0.008, say."""
    return {name: float(str(np.float32(value))) for name, value in metrics.items()}
