"""Log numbers of each epoch, such as the throughput, and a curve by step."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lamphouse.callbacks.finite import learning_rate
from lamphouse.metrics import EpochMetrics


class Throughput(Callback):
    """Logs `lr`, `samples_per_second` (training samples of all processes) and `seconds`, which validations count to."""

    def __init__(self) -> None:
        self._start = self._end = self._seconds = 0.0  # the last: of an epoch, before the run was resumed within it
        self._validation_start = self._validated = 0.0  # the last: seconds of validations within the epoch
        self._between = 0.0  # of those before the last step
        self._samples, self._lr = 0, float("nan")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._seconds:
            self._start = self._end = perf_counter() - self._seconds

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = self._end = perf_counter()
        self._samples, self._validated, self._between = 0, 0.0, 0.0
        self._lr = learning_rate(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._samples += samples_of(batch)
        self._end, self._between = perf_counter(), self._validated

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch:
            self._validation_start = perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch:
            self._validated += perf_counter() - self._validation_start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = max(self._end - self._start - self._between, 1e-9)
        pl_module.log("lr", self._lr)
        pl_module.log("samples_per_second", self._samples * trainer.world_size / seconds)
        pl_module.log("seconds", perf_counter() - self._start)

    def state_dict(self) -> dict[str, Any]:
        seconds = {"seconds": self._end - self._start, "validated": self._between}
        return {"lr": self._lr, "images": self._samples, **seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._lr, self._samples, self._seconds = (state_dict[name] for name in ("lr", "images", "seconds"))
        self._validated = self._between = state_dict.get("validated", 0.0)


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


def samples_of(batch: Any) -> int:
    """Count the samples of a batch: the first dimension of its first tensor, in nested sequences and mappings."""
    if isinstance(batch, Tensor):
        return batch.shape[0] if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    for part in parts:
        if count := samples_of(part):
            return count
    return 0
