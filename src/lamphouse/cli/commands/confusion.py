"""Which classes a classifier takes for which, counted while a Trainer measures it."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lamphouse.metrics import class_counts, class_probabilities, class_table
from lamphouse.runs.report import PARTS

MOST_ON_TERMINAL = 20  # classes
MOST_IN_FILE = 200  # classes of which there is a matrix


class ConfusionCount(Callback):
    """Counts the samples of each class that a `Task` takes for each class, in all processes."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self.counts: dict[str, Tensor] = {}  # by part, int64 [3, C], see `class_counts`
        self.matrices: dict[str, Tensor] = {}  # likewise [C, C] of few classes: rows are labels, columns predictions
        self._clear()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        count = len(self.classes)
        predicted = class_probabilities(getattr(pl_module, "last_predictions", None), count)
        labels = batch[1] if isinstance(batch, list | tuple) and len(batch) > 1 else None
        if predicted is None or not isinstance(labels, Tensor) or labels.shape != predicted.shape[:1]:
            return
        known = (labels >= 0) & (labels < count)  # a loss may ignore others
        labels, chosen = labels[known].long().cpu(), predicted.argmax(1)[known].cpu()
        self._counts += class_counts(labels, chosen, count)
        if self._matrix.numel():
            self._matrix.index_put_((labels, chosen), torch.ones_like(labels), accumulate=True)

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        part = "test" if trainer.testing else "val"
        both = (of.to(pl_module.device) for of in (self._counts, self._matrix))
        counts, matrix = (trainer.strategy.reduce(of, reduce_op="sum").cpu() for of in both)
        if counts.any():
            self.counts[part], self.matrices[part] = counts, matrix
        self._clear()

    on_test_end = on_validation_end

    def _clear(self) -> None:
        count, few = len(self.classes), len(self.classes) <= MOST_IN_FILE
        self._counts = torch.zeros(3, count, dtype=torch.long)
        self._matrix = torch.zeros(count, count * few, dtype=torch.long)

    def _found(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.counts:
            found["classes"] = {part: class_table(counts, self.classes) for part, counts in self.counts.items()}
        if self.counts and len(self.classes) <= MOST_IN_FILE:
            found["confusion"] = {part: matrix.tolist() for part, matrix in self.matrices.items()}
        return found

    def print(self) -> dict[str, Any]:
        """Print the table of the last part that was measured, and the matrix if it is small; return all, for a file."""
        if self.counts:
            self._print()
        return self._found()

    def _print(self) -> None:
        part, counts = list(self.counts.items())[-1]
        rows, width = class_table(counts, self.classes), max(5, *map(len, self.classes))
        few = sorted(rows, key=lambda row: float(row["f1"]))[:MOST_ON_TERMINAL] if rows[MOST_ON_TERMINAL:] else rows
        print(f"\n{'class':<{width}}{'count':>8}{'accuracy':>10}{'precision':>11}{'f1':>8}   of the {PARTS[part]} set")
        for row in few:
            print("{name:<{width}}{count:>8,}{accuracy:>10.4f}{precision:>11.4f}{f1:>8.4f}".format(**row, width=width))
        if len(few) < len(rows):
            print(f"these have the lowest f1 of {len(rows)} classes; evaluation.json has all")
            return
        matrix = self.matrices[part]
        cell = max(len(str(matrix.max().item())), min(width, 8)) + 1
        print("\nrows: class, columns: prediction")
        print(" " * width + "".join(f"{name[: cell - 1]:>{cell}}" for name in self.classes))
        for name, row in zip(self.classes, matrix.tolist(), strict=True):
            print(f"{name:<{width}}" + "".join(f"{count or '.':>{cell}}" for count in row))
