"""Log a curve by step."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lamphouse.metrics import EpochMetrics


class StepCurve(Callback):
    """Logs the mean loss and averages of a `Task` every `log_every_n_steps` steps, as "steps/loss" and the like.

    The means are of the samples since the last time in this epoch, of the first process.
    """

    def __init__(self) -> None:
        self._sums: Any = None  # at the last time

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._sums = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        steps = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if steps and isinstance(metrics := getattr(pl_module, "train_metrics", None), EpochMetrics):
            self.log_curve(trainer, metrics, trainer.global_step)

    def log_curve(self, trainer: Trainer, metrics: EpochMetrics, step: int) -> None:
        """Log after this many steps, if that is due."""
        interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector
        if interval and step % interval == 0 and trainer.is_global_zero:
            values = {f"steps/{name}": value for name, value in metrics.since(self._sums).items()}
            self._sums = metrics.sums.clone()
            for logger in trainer.loggers:
                logger.log_metrics(values, step - 1)

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums = state_dict["sums"]
