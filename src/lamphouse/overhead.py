"""What Lightning's loop spends on each batch without any effect, and can be spared: empty hooks and their records."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from inspect import isfunction, signature
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch.optim import Optimizer

BATCH_HOOKS = (
    *("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_train_batch_end"),
)


class NoProfiler(PassThroughProfiler):
    """A profiler that costs no time; Lightning's default one creates a generator at each hook of each callback."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator's type
        return self._nothing


class SkipIdleHooks(Callback):
    """Has Lightning skip the hooks of a batch that are empty, of callbacks, of the strategy and of the model.

    Lightning skips a hook that is not callable. While a Trainer trains, empty ones are None, unless the model optimizes
    manually: then it may call its own hooks.
    """

    def __init__(self) -> None:
        self._skipped: list[tuple[dict[str, Any], str]] = []  # attributes of an object, and the name of a hook

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
        owners: list[tuple[Any, type]] = [*((one, Callback) for one in callbacks), (trainer.strategy, Strategy)]
        owners += [(pl_module, LightningModule)] if pl_module.automatic_optimization else []
        for owner, base in owners:
            for hook in BATCH_HOOKS:
                empty = getattr(base, hook, None)
                if empty and getattr(type(owner), hook) is empty and hook not in vars(owner):
                    vars(owner)[hook] = None
                    self._skipped.append((vars(owner), hook))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        while self._skipped:
            attributes, hook = self._skipped.pop()
            attributes.pop(hook, None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)


class LeanModule(LightningModule):
    """A LightningModule whose steps compute the same in less time (abstract)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = vars(cls).get("training_step")
        if isfunction(step):  # Lightning asks for its signature at each batch; inspect takes one that is there
            step.__signature__ = signature(step)  # type: ignore[attr-defined]  # an attribute that inspect documents

    def __setattr__(self, name: str, value: Any) -> None:
        # private: Lightning sets it at every hook; nn.Module.__setattr__ makes a small network's step 10 % longer
        if name in {"_current_fx_name", "last_predictions"}:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        if type(optimizer).zero_grad is not Optimizer.zero_grad:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)
            return
        for group in optimizer.param_groups:  # as torch's own does, without the profiler's record, which takes longer
            for parameter in group["params"]:
                parameter.grad = None

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        if not (gradient_clip_val or self.trainer.gradient_clip_val):
            return  # what Lightning's takes time to find out
        precision = self.trainer.precision_plugin
        if isinstance(precision, MixedPrecision) and gradient_clip_val:  # which refuses fused optimizers
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(precision, optimizer, gradient_clip_val, algorithm)
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        scaler: Any = getattr(self.trainer.precision_plugin, "scaler", None)
        inner = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer

        def unscaled() -> Any:
            loss = optimizer_closure() if optimizer_closure else None
            if loss is not None:  # else there is no step
                scaler.unscale_(inner)
            return loss

        # private: fused optimizers unscale gradients in their step, after they have been measured and clipped
        unscales = scaler is not None and getattr(inner, "_step_supports_amp_scaling", False)
        super().optimizer_step(epoch, batch_idx, optimizer, unscaled if unscales else optimizer_closure)
