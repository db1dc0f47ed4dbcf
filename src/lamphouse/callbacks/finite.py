"""Stop training at the first loss, gradient or weight that is infinite or NaN."""

import cmath
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.amp import GradScaler

from lamphouse.errors import NotFiniteError

MOST_PENDING = 100  # checks, two a batch, after which the results are read from an accelerator; reading waits for it
SMALLEST_SCALE = 2.0**-24  # of the loss in float16: gradients that overflow even then are infinite in themselves


class Position(NamedTuple):
    """A batch of a training; epochs and batches are counted from 0."""

    epoch: int
    batch: int
    step: int  # optimizer steps taken before
    lr: float | Tensor  # of the first parameter group; a tensor stays on its device

    def __str__(self) -> str:
        return f"in epoch {self.epoch}, batch {self.batch} (step {self.step}) at learning rate {float(self.lr):.3g}"


class FiniteCheck:
    """Checks the loss and the gradients of every batch, in any training loop, without changing a bit of them.

    On a CPU an error is raised at once, before the weights are updated. On an accelerator the results stay on the
    device, so that no batch waits for it, and are read from time to time; the error still names the first bad batch.
    All methods but `begin` raise a `NotFiniteError`.

    Args:
        enabled: False checks nothing.
        deferred: keep results as on an accelerator; None does so on accelerators only.
    """

    def __init__(self, enabled: bool = True, deferred: bool | None = None) -> None:
        self.enabled, self.deferred = enabled, deferred
        self.position: Position | None = None
        self._parameters: dict[str, nn.Parameter] = {}
        self._scaler: GradScaler | None = None
        self._loss: dict[str, Tensor] = {}
        self._immediate, self._sharded = True, False
        self._pending: list[tuple[Position | None, str, Mapping[str, Tensor]]] = []

    def begin(self, model: nn.Module, scaler: GradScaler | None = None) -> None:
        """Set the model to check; a scaler detects infinite gradients itself and skips their steps."""
        self._parameters = dict(model.named_parameters())
        self._scaler = scaler if scaler and scaler.is_enabled() else None
        self._sharded = any(hasattr(parameter, "to_local") for parameter in self._parameters.values())
        on_accelerator = any(parameter.device.type != "cpu" for parameter in self._parameters.values())
        deferred = on_accelerator if self.deferred is None else self.deferred
        self._immediate = not deferred or torch.is_anomaly_enabled()

    def before_backward(self, loss: Tensor, position: Position) -> None:
        """Check the loss of a batch; PyTorch's anomaly mode, if it is on, comes first and names the operation."""
        self.position, self._loss = position, {"loss": loss.detach()}
        if self.enabled and not torch.is_anomaly_enabled() and not (self._immediate and cmath.isfinite(loss.item())):
            self._check("the ", self._loss)

    def after_backward(self) -> None:
        """Check the gradients."""
        if not self.enabled:
            return
        if torch.is_anomaly_enabled():
            self._check("the ", self._loss)
        # while results are pending, reading the scale would wait for the device
        if self._scaler is None or (not self._pending and self._scaler.get_scale() < SMALLEST_SCALE):
            gradients = ((name, parameter.grad) for name, parameter in self._parameters.items())
            self._check("the gradient of ", {name: _dense(grad) for name, grad in gradients if grad is not None})

    def settle(self) -> None:
        """Check the weights before these are validated or saved, and read all pending results."""
        if self.enabled:
            self._check("the weight ", {name: parameter.detach() for name, parameter in self._parameters.items()})
            self._read()

    def _check(self, kind: str, tensors: Mapping[str, Tensor]) -> None:
        if self._sharded:  # each process checks its own part
            parts = {name: one.to_local() if hasattr(one, "to_local") else one for name, one in tensors.items()}
            tensors = {name: part for name, part in parts.items() if part.numel()}
        if not tensors:
            return
        if not self._immediate:
            norms = torch._foreach_norm(list(tensors.values()), math.inf)  # private: one call for all
            self._pending.append((self.position, kind, dict(zip(tensors, norms, strict=True))))
            if len(self._pending) >= MOST_PENDING:
                self._read()
        # on a CPU sums are the fastest that infinite numbers show in, but so do large ones: look at each then
        elif not cmath.isfinite(sum(tensor.sum().item() for tensor in tensors.values())):
            for name, tensor in tensors.items():
                for value in tensor[~tensor.isfinite()][:1].tolist():
                    raise _error(f"{kind}{name}", value, self.position)

    def _read(self) -> None:
        pending, self._pending = self._pending, []
        results = [norm.float() for _, _, norms in pending for norm in norms.values()]
        values = iter(torch.stack(results).tolist() if results else ())  # waits for the device
        for position, kind, norms in pending:
            for name in norms:
                if not math.isfinite(value := next(values)):
                    raise _error(f"{kind}{name}", value, position)


def learning_rate(trainer: Trainer) -> Any:
    """Return the learning rate of the first parameter group; a model that trains nothing may have none."""
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            return group["lr"]
    return math.nan


def _dense(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _error(name: str, value: float, position: Position | None) -> NotFiniteError:
    return NotFiniteError(f"{name} is {value} {position or 'before the first batch'}", position)


class StopNotFinite(Callback):
    """Checks every loss and gradient, and the weights before they are validated or saved.

    Args:
        check: the checks; None makes a `FiniteCheck` with its defaults.
    """

    def __init__(self, check: FiniteCheck | None = None) -> None:
        self.check = check or FiniteCheck()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check.begin(pl_module, getattr(trainer.precision_plugin, "scaler", None))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        batch, lr = trainer.fit_loop.batch_idx, learning_rate(trainer)
        self.check.before_backward(loss, Position(trainer.current_epoch, batch, trainer.global_step, lr))

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check.after_backward()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self.check.settle()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self.check.settle()
