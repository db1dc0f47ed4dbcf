"""The run's own table of metrics."""

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.errors import InputError
from lamphouse.files import write_whole

PARTS = ("train/loss", "train/acc", "val/loss", "val/acc", "test/loss", "test/acc")
COLUMNS = ("epoch", "step", *PARTS, "lr", "images_per_second", "seconds")


class MetricsTable(Logger):
    """One row an epoch and one for the test, in a file that is always whole.

    Args:
        path: the file; what is in it already is kept.
    """

    name = "metrics"
    version = ""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._epoch: dict[str, Any] = {}
        if path.is_file():
            self.rows = read_rows(path)

    def keep_before(self, epoch: int) -> None:
        """Drop the test's row and those of `epoch` and later, which will come again."""
        self.rows = [row for row in self.rows if not row.get("test/loss") and int(row["epoch"]) < epoch]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Collect an epoch's metrics, and write its row when the last of them, the training's, are there."""
        self._epoch |= {"step": step, **shortest(metrics), "epoch": int(metrics.get("epoch", 0))}
        if any(name.startswith(("train/", "test/")) for name in metrics):
            self.rows.append(self._epoch)
            self._epoch = {}
            self._write()

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Leave them to the run's config.yaml."""

    def _write(self) -> None:
        others = dict.fromkeys(name for row in self.rows for name in row if name not in COLUMNS)
        text = io.StringIO()
        writer = csv.DictWriter(text, [*COLUMNS, *others], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_whole(self.path, text.getvalue())


def shortest(metrics: dict[str, float]) -> dict[str, float]:
    """Give float32 values, which they were on the device, the fewest digits that tell them apart: 0.008, say."""
    return {name: float(str(np.float32(value))) for name, value in metrics.items()}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a table, without its empty cells.

    Raises:
        InputError: it is none that a run wrote.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [{name: cell for name, cell in row.items() if cell} for row in reader]
        _ = [(reader.fieldnames or []).index(name) for name in COLUMNS]  # which are all there
        for row in rows:
            int(row["epoch"]), int(row["step"]), [float(cell) for cell in row.values()]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged: put the run's own table back, or delete it") from error
    return rows
