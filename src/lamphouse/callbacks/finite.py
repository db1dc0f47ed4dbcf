"""Stops at numbers that go wrong."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lamphouse.callbacks.finite_check import FiniteCheck, Place


class StopNotFinite(Callback):
    """Look at every loss and gradient, and at the weights before they are kept.

    Args:
        check: looks at them.
    """

    def __init__(self, check: FiniteCheck) -> None:
        self.check = check

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the parameters, which may have changed."""
        self.check.watch(pl_module, getattr(trainer.precision_plugin, "scaler", None))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the batch."""
        self._batch = batch_idx

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Look at the loss."""
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        self.check.before_backward(loss, Place(trainer.current_epoch, self._batch, trainer.global_step, lr))

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the gradients."""
        self.check.after_backward()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the weights before they are measured."""
        if trainer.state.fn == TrainerFn.FITTING:
            self.check.settle()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Look at the weights before they are kept."""
        if trainer.state.fn == TrainerFn.FITTING:
            self.check.settle()
