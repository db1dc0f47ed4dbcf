"""Log learning rate, throughput and duration of each epoch."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler
from torch import Tensor

from lamphouse.callbacks.finite import learning_rate


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


def samples_of(batch: Any) -> int:
    """Count the samples of a batch: the first dimension of its first tensor, in nested sequences and mappings."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((count for count in map(samples_of, parts) if count), 0)


class NoProfiler(PassThroughProfiler):
    """A profiler that costs no time; Lightning's default one creates a generator at each hook of each callback."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator's type
        return self._nothing
