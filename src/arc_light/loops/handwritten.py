"""The training loop in plain PyTorch, to be read from top to bottom.

The model is a `Task`: it has `step(part, batch)`, `configure_optimizers(total_steps)`, `freeze_backbone(epoch)` and the
metrics of each part. Lightning's loops compute the same bits: docs/parity.md shows them side by side.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from lamphouse.callbacks import FiniteCheck, Position, samples_of
from lamphouse.loops import optimizer_and_schedule
from arc_light.monitor import Monitor

Metrics = dict[str, Tensor]
Hook = Callable[..., Any]
Batches = Callable[[int, int], Iterable[Any]]  # those of an epoch, from a number on, on the device


@dataclass
class Training:
    """A model, how it is trained, and everything that changes on the way."""

    model: Any
    batches: int  # in an epoch of training
    device: torch.device
    max_epochs: int = 10
    dtype: torch.dtype | None = None  # of matrix products, bfloat16 or float16; None computes in float32 throughout
    scaler: GradScaler = field(default_factory=lambda: GradScaler(enabled=False))  # keeps float16 from underflowing
    accumulate_grad_batches: int = 1  # whose gradients make one step
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    ema: float | None = None  # decay of a moving average of the weights, which is evaluated and kept
    saving: Monitor = field(default_factory=Monitor)
    stopping: Monitor = field(default_factory=Monitor)
    check: FiniteCheck = field(default_factory=FiniteCheck)  # of losses, gradients and weights
    norms: Hook | None = None  # logs those of gradients

    def __post_init__(self) -> None:
        """Build the optimizer and what goes with it."""
        self.model.to(self.device)
        steps = math.ceil(self.batches / self.accumulate_grad_batches) * self.max_epochs
        self.optimizer, self.schedule = optimizer_and_schedule(self.model.configure_optimizers, steps)
        self.autocast = torch.autocast(self.device.type, self.dtype, self.dtype is not None, cache_enabled=False)
        self.average: AveragedModel | None = None
        if self.ema is not None:
            self.average = AveragedModel(self.model, self.device, get_ema_avg_fn(self.ema), use_buffers=True)
        self.evaluated = self.average.module if self.average else self.model  # and kept
        self.epoch = self.batch = self.step = 0  # epochs, batches of the current one, and steps that are done
        self.lr = torch.tensor(math.nan)  # at the beginning of the epoch
        self.best_weights: Mapping[str, Tensor] = {}


def fit(training: Training, train: Batches, val: Batches, on_epoch_end: Hook, on_step: Hook) -> None:
    """Train until the last epoch or until early stopping, then restore the best weights.

    `on_epoch_end` gets each epoch's metrics, and whether it is the best; `on_step` is called after each step.
    """
    for epoch in range(training.epoch, training.max_epochs):
        start = perf_counter()
        metrics = train_epoch(training, train, on_step)
        metrics |= evaluate(training.evaluated, training, val, "val")
        metrics["seconds"] = torch.tensor(perf_counter() - start)
        training.epoch, training.batch = epoch + 1, 0
        if training.schedule.due("epoch", training.epoch):
            training.schedule.step(metrics)
        best = training.saving.improved_or_tied(metrics) or not training.best_weights
        if best:
            training.best_weights = copy.deepcopy(training.evaluated.state_dict())
        training.stopping.improved(metrics)
        on_epoch_end(metrics, best)
        if training.stopping.stop:
            break
    training.model.load_state_dict(training.best_weights)


def train_epoch(training: Training, batches: Batches, on_step: Hook) -> Metrics:
    """Train on the rest of an epoch's batches."""
    model, optimizer, scaler, check = training.model, training.optimizer, training.scaler, training.check
    start, samples, every = perf_counter(), 0, training.accumulate_grad_batches
    if training.batch == 0:
        training.lr = torch.tensor(optimizer.param_groups[0]["lr"])
    model.freeze_backbone(training.epoch)
    check.begin(model, scaler)
    for number, batch in enumerate(batches(training.epoch, training.batch), start=training.batch + 1):
        with training.autocast:
            loss = model.step("train", batch)
        position = Position(training.epoch, number - 1, training.step, optimizer.param_groups[0]["lr"])
        check.before_backward(loss, position)
        scaler.scale(loss / every if every > 1 else loss).backward()
        check.after_backward()
        samples += samples_of(batch)
        if number % every == 0 or number == training.batches:
            clip_gradients(training)
            scaler.step(optimizer)  # not taken if a gradient is infinite or not a number
            scaler.update()
            optimizer.zero_grad()
            training.batch, training.step = number, training.step + 1
            if training.schedule.due("step", number):
                training.schedule.step()
            if training.average:
                training.average.update_parameters(model)
            on_step()
    check.settle()
    speed = torch.tensor(samples / (perf_counter() - start))
    return {"lr": training.lr, "samples_per_second": speed} | computed("train", model)


def clip_gradients(training: Training) -> None:
    """Limit the norm of all gradients together or each value, in the gradients' own unit."""
    if training.gradient_clip_val or training.norms:
        training.scaler.unscale_(training.optimizer)
    if training.norms:
        training.norms(training.model, training.optimizer, training.step)
    if training.gradient_clip_val:
        parameters = [p for group in training.optimizer.param_groups for p in group["params"]]
        if training.gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(parameters, training.gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(parameters, training.gradient_clip_val)


def evaluate(model: Any, training: Training, batches: Batches, part: str) -> Metrics:
    """Compute the metrics of a part of the data, "val" or "test"."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.inference_mode():
        for batch in batches(training.epoch, 0):
            with training.autocast:
                model.step(part, batch)
    for module, mode in modes.items():
        module.training = mode
    return computed(part, model)


def computed(part: str, model: Any) -> Metrics:
    """Compute the metrics of an epoch, and reset them."""
    metrics = getattr(model, f"{part}_metrics")
    values = {f"{part}/{name}": value.cpu() for name, value in metrics.compute().items()}
    metrics.reset()
    return values
