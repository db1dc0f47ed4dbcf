"""Keep a moving average of the weights."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn


class EMA(EMAWeightAveraging):
    """Keeps an exponential moving average of weights and buffers, updated each step, for validation and test.

    Unlike Lightning's own, a test after training loads the averaged weights, and the last checkpoint has both.

    Args:
        decay: the share that an average keeps of itself in each step, 0..1.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay)
        self.decay = decay

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the trained weights in the model until the last checkpoint is written."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the average into the model, which Lightning's own does in `on_train_end`."""
        super().on_train_end(trainer, pl_module)
