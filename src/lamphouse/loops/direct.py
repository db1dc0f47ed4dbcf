"""Lightning's loop over batches without what nobody listens to, for a model that optimizes manually."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.loops.fetchers import _DataFetcher, _PrefetchDataFetcher
from lightning.pytorch.loops.optimization.manual import ManualResult
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor

Listeners = Sequence[Callable[..., Any]]
HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def overrides(instance: Any, hook: str, *parents: type) -> bool:
    """Say whether a hook of a class's instance is its own, or one of the instance alone."""
    method = getattr(instance, hook)
    return callable(method) and getattr(method, "__func__", None) not in [getattr(cls, hook) for cls in parents]


def listeners(trainer: Trainer, hook: str) -> Listeners:
    """Collect those who override a hook, in Lightning's order: callbacks, then the model."""
    model = trainer.lightning_module
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
    called = [partial(getattr(c, hook), trainer, model) for c in callbacks if overrides(c, hook, Callback)]
    return [*called, getattr(model, hook)] if overrides(model, hook, LightningModule) else called


class DirectBatches(_TrainingEpochLoop):
    """Lightning's own `_TrainingEpochLoop`, whose `advance` calls a hook only of those who override it.

    What happens to a batch, and its order, are the same, and all that comes between two batches is Lightning's own.
    So are the batches themselves where more is asked for: several devices, a profile, a model that skips the rest of
    an epoch by `on_train_batch_start` or fetches batches itself; and the first one of a run that is resumed.
    """

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Find out who listens in this epoch."""
        super().on_run_start(data_fetcher)
        trainer = self.trainer
        model: LightningModule = trainer.lightning_module
        self._listeners = {hook: listeners(trainer, hook) for hook in HOOKS}
        self._direct = (
            type(trainer.strategy) is SingleDeviceStrategy
            and isinstance(trainer.profiler, PassThroughProfiler)
            and isinstance(data_fetcher, _PrefetchDataFetcher)
            and not overrides(model, "on_train_batch_start", LightningModule)
        )
        self._plain = self._direct and type(trainer.precision_plugin) is Precision
        selector: Any = trainer._data_connector._datahook_selector
        self._before, self._to_device, self._after = (getattr(selector.get_instance(hook), hook) for hook in TRANSFER)

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Train on a batch."""
        if self.restarting or not self._direct:
            super().advance(data_fetcher)
            return
        strategy, connector = self.trainer.strategy, self.trainer._logger_connector
        batch, number = strategy.precision_plugin.convert_input(next(data_fetcher)[0]), self.batch_idx + 1
        self.batch_progress.is_last_batch = data_fetcher.done
        batch = self._after(self._to_device(self._before(batch, 0), strategy.root_device, 0), 0)
        self.batch_progress.increment_ready()
        connector.on_batch_start(batch)
        outputs = None if batch is None else self._train(batch, number)
        self.batch_progress.increment_processed()
        self._tell("on_train_batch_end", outputs, batch, number)
        self._results.batch = self._results.batch_size = None
        if self._results:
            connector.on_batch_end()
        self.batch_progress.increment_completed()
        if self._results:
            connector.update_train_step_metrics()

    def _train(self, batch: Any, number: int) -> dict[str, Any]:
        """Have the model take its step."""
        self._tell("on_train_batch_start", batch, number)
        self.batch_progress.increment_started()
        model, counting = self.trainer.lightning_module, self.manual_optimization
        counting.on_run_start()
        model._current_fx_name = "training_step"
        output = self.trainer.strategy.training_step(batch, number)
        model._current_fx_name = None
        counting.on_run_end()
        return ManualResult.from_training_step_output(output).asdict()

    def backward(self, loss: Tensor) -> None:
        """Compute gradients, for a training step, and let callbacks look at them."""
        model = self.trainer.lightning_module
        if not self._plain:
            model.manual_backward(loss)
            return
        self._tell("on_before_backward", loss)
        model.backward(loss)
        self._tell("on_after_backward")

    def step(self, optimizer: LightningOptimizer) -> None:
        """Change the weights, for a training step."""
        if not self._plain:
            optimizer.step()
            return
        before: Any = partial(self._tell, "on_before_optimizer_step", optimizer.optimizer)
        optimizer._on_before_step()
        optimizer.optimizer.step(before)
        optimizer._on_after_step()

    def _tell(self, hook: str, *args: Any) -> None:
        """Call those who listen."""
        model = self.trainer.lightning_module
        before, model._current_fx_name = model._current_fx_name, hook
        for listener in self._listeners[hook]:
            listener(*args)
        model._current_fx_name = before
