"""What a person sees of a run."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor
from tqdm import tqdm

REFRESH_SECONDS = 0.25  # a bar reads loss and accuracy from the device no more often than this


def show(bar: tqdm, metrics: Any) -> None:
    """Show on a bar how far it is, and the loss and accuracy so far if there are metrics, a few times a second."""
    if not bar.disable and perf_counter() - getattr(bar, "shown", 0.0) > REFRESH_SECONDS:
        bar.shown = perf_counter()
        running = metrics.running() if metrics else {}
        bar.set_postfix_str(" ".join(f"{name} {float(value):.4f}" for name, value in running.items()))


class EpochProgress(ProgressBar):
    """A line for each epoch and, on a terminal, a bar with loss, accuracy and time left during it."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] | None = None

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
        if self._bar is not None:
            self._bar.n = batch_idx + 1
            show(self._bar, getattr(pl_module, "train_metrics", None))

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
        if self._enabled:
            epoch = f"epoch {trainer.current_epoch}/{(trainer.max_epochs or 0) - 1}"
            # None disables it where there is no terminal
            self._bar = tqdm(desc=epoch, total=self.total_train_batches, leave=False, disable=None)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
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
