"""Learning rate, speed and duration of each epoch."""

from time import perf_counter
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Log learning rate, training images per second (of all processes) and the epoch's seconds, validation included."""

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
