"""What a person sees of a run."""

import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

REFRESH_SECONDS = 0.25  # the running loss is read from the device no more often than this


class EpochProgress(ProgressBar):
    """A line for each epoch and, on a terminal, a bar with loss, accuracy and time left during it."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progress | None = None
        self._refreshed = 0.0

    def disable(self) -> None:
        """Show nothing, in all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show again."""
        self._enabled = True

    _enabled = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the epoch before, and begin a bar."""
        if trainer.current_epoch > self._first_epoch:
            self._print_epoch(trainer, trainer.current_epoch - 1)
        self._begin_bar(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the run begins, which is later in a resumed one, perhaps within an epoch."""
        self._first_epoch = trainer.current_epoch
        if trainer.fit_loop.restarted_mid_epoch:
            self._begin_bar(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar, a few times a second."""
        now = perf_counter()
        if self._bar is not None and now - self._refreshed > REFRESH_SECONDS:
            self._refreshed = now
            figures = " ".join(f"{name} {value:.4f}" for name, value in running_metrics(pl_module).items())
            self._bar.update(self._task, completed=batch_idx + 1, figures=figures)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._end_bar()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the last epoch."""
        self._end_bar()
        if trainer.current_epoch > self._first_epoch:
            self._print_epoch(trainer, trainer.current_epoch - 1)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._end_bar()

    def _begin_bar(self, trainer: Trainer) -> None:
        if not (self._enabled and sys.stderr.isatty()):
            return
        epoch = TextColumn(f"epoch {trainer.current_epoch}/{(trainer.max_epochs or 0) - 1}")
        columns = (
            epoch,
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=self.total_train_batches, figures="")
        self._bar.start()

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print_epoch(self, trainer: Trainer, epoch: int) -> None:
        if self._enabled:
            print_epoch(epoch, trainer.max_epochs or 0, trainer.callback_metrics)


def print_epoch(epoch: int, epochs: int, metrics: Mapping[str, Tensor]) -> None:
    """Print the line of an epoch, counted from 0, of `epochs`."""
    values = {name: float(value) for name, value in metrics.items()}
    parts = [f"epoch {epoch:>3}/{epochs - 1}"]
    for part in ("train", "val"):
        figures = [f"{name.split('/')[1]} {value:.4f}" for name, value in values.items() if name.startswith(f"{part}/")]
        parts += [f"{part} {' '.join(figures)}"] if figures else []
    parts.append(f"{values['images_per_second']:,.0f} images/s")
    print("   ".join(parts), flush=True)


def running_metrics(module: LightningModule) -> dict[str, float]:
    """Read the loss and accuracy so far in this epoch, which waits for the device."""
    metrics = getattr(module, "train_metrics", None)
    return {name: float(value) for name, value in metrics.running().items()} if metrics else {}
