"""Stop training at the first number that is infinite or not a number."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.amp import GradScaler

from lamphouse.errors import NotFiniteError

EVERY = 100  # figures, two a batch, after which an accelerator is asked for them; asking waits for it
SMALLEST_SCALE = 2.0**-24  # of the loss in float16: gradients that overflow even so are infinite in themselves

Named = Sequence[tuple[str, Tensor]]


class Place(NamedTuple):
    """Where training is.

    Args:
        epoch: counted from 0.
        batch: of the epoch, counted from 0.
        step: optimizer steps taken before.
        lr: learning rate of the first parameter group; a tensor is left on its device.
    """

    epoch: int
    batch: int
    step: int
    lr: float | Tensor

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"in epoch {self.epoch}, batch {self.batch} (step {self.step}) at learning rate {float(self.lr):.3g}"


class FiniteCheck:
    """Looks at the loss and the gradients of every batch, without changing a bit of either.

    On a CPU the answer is there at once, before the weights are changed. An accelerator keeps its figures, so that no
    batch waits for it, and is asked from time to time; the error names the first that went wrong all the same.

    Args:
        enabled: False looks at nothing.
        deferred: keep figures as on an accelerator; None does so on one.
    """

    def __init__(self, enabled: bool = True, deferred: bool | None = None) -> None:
        self.enabled, self.deferred = enabled, deferred
        self.place: Place | None = None
        self._parameters: list[tuple[str, nn.Parameter]] = []
        self._scaler: GradScaler | None = None
        self._waits = True
        self._pending: list[tuple[Place | None, list[str], Sequence[Tensor]]] = []

    def watch(self, model: nn.Module, scaler: GradScaler | None = None) -> None:
        """Choose the model; a scaler finds infinite gradients by itself and skips their steps."""
        self._parameters = list(model.named_parameters())
        self._scaler = scaler if scaler and scaler.is_enabled() else None
        on_accelerator = any(parameter.device.type != "cpu" for _, parameter in self._parameters)
        self._waits = not (on_accelerator if self.deferred is None else self.deferred) or torch.is_anomaly_enabled()

    def before_backward(self, loss: Tensor, place: Place) -> None:
        """Look at a batch's loss.

        Raises:
            NotFiniteError: it is infinite or not a number.
        """
        if self.enabled:
            self.place = place
            if not (self._waits and math.isfinite(loss.item())):
                self._look("the ", [("loss", loss.detach())])

    def after_backward(self) -> None:
        """Look at the gradients.

        Raises:
            NotFiniteError: one is infinite or not a number.
        """
        if not self.enabled:
            return
        # while figures are pending, the scale would have to be waited for
        if self._scaler is None or (not self._pending and self._scaler.get_scale() < SMALLEST_SCALE):
            gradients = [(name, parameter.grad) for name, parameter in self._parameters]
            self._look("the gradient of ", [(name, _dense(grad)) for name, grad in gradients if grad is not None])

    def settle(self) -> None:
        """Look at what is pending and at the weights, before they are kept.

        Raises:
            NotFiniteError: something is infinite or not a number.
        """
        if self.enabled:
            self._look("the weight ", [(name, parameter.detach()) for name, parameter in self._parameters])
            self._read()

    def _look(self, what: str, named: Named) -> None:
        if not named:
            return
        if self._waits:
            self._look_now(what, named)
        else:
            largest = torch._foreach_norm([tensor for _, tensor in named], math.inf)
            self._pending.append((self.place, [what + name for name, _ in named], largest))
            if len(self._pending) >= EVERY:
                self._read()

    def _look_now(self, what: str, named: Named) -> None:
        # on a CPU Euclidean norms are much faster than the largest values, but overflow earlier
        norms = torch._foreach_norm([tensor for _, tensor in named])
        if all(math.isfinite(norm.item()) for norm in norms):
            return
        for name, tensor in named:
            if not (finite := tensor.isfinite()).all():
                raise self._error(f"{what}{name} is {tensor[~finite][0].item()}", self.place)

    def _read(self) -> None:
        pending, self._pending = self._pending, []
        figures = [figure.float() for _, _, figures in pending for figure in figures]
        values = iter(torch.stack(figures).tolist() if figures else ())  # waits for the device
        for place, names, _ in pending:
            for name in names:
                if not math.isfinite(value := next(values)):
                    raise self._error(f"{name} is {value}", place)

    def _error(self, what: str, place: Place | None) -> NotFiniteError:
        return NotFiniteError(f"{what} {place or 'before the first batch'}", place)


def _dense(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


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
