"""A moving average of the weights."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn


class EMA(EMAWeightAveraging):
    """Exponential moving average of weights and buffers, updated each step; it is validated, tested and kept.

    Lightning's own, but for a test after training: that would load the weights which are not averaged.

    Args:
        decay: what an average keeps of itself in each step, 0..1.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Continue the average, in training only."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights that are trained, for the last checkpoint."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in their place, which Lightning does at the end of training already."""
        super().on_train_end(trainer, pl_module)
