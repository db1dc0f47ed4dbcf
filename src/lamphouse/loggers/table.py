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

PARTS = [f"{part}/{name}" for part in ("train", "val", "test") for name in ("loss", "acc")]
COLUMNS = ("epoch", "step", *PARTS, "lr", "images_per_second", "seconds")  # in this order; any others follow


class MetricsTable(Logger):
    """Writes a row for each epoch, and one for the test, to a CSV file that is always complete.

    Metrics may have any name. The row of an epoch is written with its first metrics called "train/..." or "test/...",
    which a `Task` logs last; other metrics are written when the next epoch begins or training ends. The rows that the
    file already has are kept.

    Raises:
        InputError: it is not a table that a run wrote.
    """

    name = "metrics"
    version = ""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self.rows: list[dict[str, Any]] = _read(self.path) if self.path.is_file() else []
        self._unwritten = False

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def keep_before(self, epoch: int) -> None:
        """Drop the rows of the test, and of `epoch` and later, which will be repeated."""
        self.rows = [row for row in self.rows if not _is_test(row) and int(row["epoch"]) < epoch]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row: dict[str, Any] = {"step": step, **_shortest(metrics), "epoch": int(metrics.get("epoch", 0))}
        last = self.rows[-1] if self.rows else {}
        if last.get("epoch") == row["epoch"] and _is_test(last) == _is_test(row):
            last.update(row)
        else:
            self.finalize()  # the last row is complete
            self.rows.append(row)
        self._unwritten = True
        if any(name.startswith(("train/", "test/")) for name in metrics):
            self.finalize()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave hyperparameters to the run's config.yaml."""

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        if self._unwritten:
            self._unwritten = False
            self._write()

    def _write(self) -> None:
        names = dict.fromkeys(name for row in self.rows for name in row)
        ordered = sorted(names, key=lambda name: COLUMNS.index(name) if name in COLUMNS else len(COLUMNS))
        text = io.StringIO()
        writer = csv.DictWriter(text, ordered, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, text.getvalue())


def _is_test(row: dict[str, Any]) -> bool:
    return any(name.startswith("test") for name in row)


def _shortest(metrics: dict[str, float]) -> dict[str, float]:
    """Round float32 values, which they were on the device, to the fewest digits that identify them: 0.008, say."""
    return {name: float(str(np.float32(value))) for name, value in metrics.items()}


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_parsed(row) for row in csv.DictReader(file, strict=True)]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged: put the run's own table back, or delete it") from error


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: float(cell) for name, cell in row.items() if cell}
    return {**numbers, "epoch": int(row["epoch"]), "step": int(row["step"])}
