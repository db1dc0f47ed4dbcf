"""The run's own table of metrics."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.errors import InputError
from lamphouse.files import write_whole

FIRST = ("epoch", "step")
PARTS = [f"{part}/{name}" for part in ("train", "val", "test") for name in ("loss", "acc")]
COLUMNS = (*FIRST, *PARTS, "lr", "images_per_second", "seconds")  # in this order; any others follow


class MetricsTable(Logger):
    """Writes a row for each epoch, and one for the test, to a CSV file that is always complete.

    Metrics may have any name. The row of an epoch is written with its first metrics called "train/..." or "test/...",
    which a `Task` logs last; other metrics are written when the next epoch begins or training ends.

    Args:
        path: the file; its rows are kept.
    """

    name = "metrics"
    version = ""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self.rows: list[dict[str, Any]] = read_rows(self.path) if self.path.is_file() else []
        self._unwritten = False

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def keep_before(self, epoch: int) -> None:
        """Drop the rows of the test, and of `epoch` and later, which will be repeated."""
        self.rows = [row for row in self.rows if not is_test(row) and int(row["epoch"]) < epoch]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics to the row of their epoch, and write it once it is complete."""
        row: dict[str, Any] = {"step": step, **shortest(metrics), "epoch": int(metrics.get("epoch", 0))}
        last = self.rows[-1] if self.rows else row
        if last is not row and int(last["epoch"]) == row["epoch"] and is_test(last) == is_test(row):
            last.update(row)
        else:
            self.finalize()
            self.rows.append(row)
        self._unwritten = True
        if any(name.startswith(("train/", "test/")) for name in metrics):
            self.finalize()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave hyperparameters to the run's config.yaml."""

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Write the rows that have not been written."""
        if self._unwritten:
            self._unwritten = False
            self._write()

    def _write(self) -> None:
        names = dict.fromkeys((*FIRST, *(name for row in self.rows for name in row)))
        known = [name for name in COLUMNS if name in names]
        text = io.StringIO()
        writer = csv.DictWriter(text, [*known, *(name for name in names if name not in known)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, text.getvalue())


def is_test(row: dict[str, Any]) -> bool:
    """Whether metrics are a test's."""
    return any(name.startswith("test") for name in row)


def shortest(metrics: dict[str, float]) -> dict[str, float]:
    """Round float32 values, which they were on the device, to the fewest digits that identify them: 0.008, say."""
    return {name: float(str(np.float32(value))) for name, value in metrics.items()}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a table, without its empty cells.

    Raises:
        InputError: it is not one that a run wrote.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [parsed(row) for row in csv.DictReader(file, strict=True)]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged: put the run's own table back, or delete it") from error


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """Convert the cells of a row to numbers, leaving out those that are empty."""
    numbers = {name: float(cell) for name, cell in row.items() if cell}
    return numbers | {name: int(row[name]) for name in FIRST}
