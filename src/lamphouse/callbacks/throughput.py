"""Learning rate, speed and duration of each epoch."""

from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler


class Throughput(Callback):
    """Log learning rate, training images per second (of all processes) and the epoch's seconds, validation included."""

    _start = _end = 0.0
    _images = 0
    _seconds = 0.0  # of the epoch, before the run was resumed within it
    _lr = float("nan")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, within an epoch if the run is resumed there."""
        if self._seconds:
            self._start = self._end = perf_counter() - self._seconds

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = self._end = perf_counter()
        self._images = 0
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images."""
        self._images += len(batch[0])
        self._end = perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's figures."""
        seconds = max(self._end - self._start, 1e-9)
        pl_module.log("lr", self._lr)
        pl_module.log("images_per_second", self._images * trainer.world_size / seconds)
        pl_module.log("seconds", perf_counter() - self._start)

    def state_dict(self) -> dict[str, Any]:
        """Note the epoch's learning rate, and how far it has come in which time."""
        return {"lr": self._lr, "images": self._images, "seconds": self._end - self._start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._lr, self._images, self._seconds = (state_dict[name] for name in ("lr", "images", "seconds"))


class NoProfiler(PassThroughProfiler):
    """Takes no time; Lightning's own makes a generator at every hook of every callback, dozens in a step."""

    _nothing: AbstractContextManager[None] = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator's type
        """Do nothing, before and after."""
        return self._nothing
