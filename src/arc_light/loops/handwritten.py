"""The training loop in plain PyTorch, to be read from top to bottom in the order of the data.

A model offers `loss(batch)`, `configure_optimizers(total_steps)` and the metrics `train_metrics` and `val_metrics`.
Nothing here knows Lightning, whose loops compute the same bits: docs/parity.md has them side by side.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from lamphouse.callbacks import FiniteCheck, Position, show_progress
from lamphouse.loops.batches import Batches
from lamphouse.loops.schedule import unpacked
from lamphouse.loops.watch import Metrics, Watch


def default_device() -> torch.device:
    """Choose the accelerator, where there is one."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


@dataclass(frozen=True)
class Options:
    """How to train.

    Args:
        epochs: passes over the training batches, at most.
        device: where the model and its batches are.
        autocast: precision of matrix products, torch.bfloat16 or torch.float16; None is float32 throughout.
        scaler: keeps small float16 gradients from vanishing; None is torch's own where autocast is to float16.
        accumulate: batches whose gradients make one step.
        clip: largest norm or value of the gradient; None leaves it as it is.
        clip_algorithm: whether `clip` bounds the norm of the whole gradient or each of its values.
        ema: decay of an exponential moving average of the weights, 0..1, which is validated and kept; None for none.
    """

    epochs: int = 10
    device: torch.device = field(default_factory=default_device)
    autocast: torch.dtype | None = None
    scaler: GradScaler | None = None
    accumulate: int = 1
    clip: float | None = None
    clip_algorithm: Literal["norm", "value"] = "norm"
    ema: float | None = None


class Training:
    """A model and all that changes while it is trained.

    Args:
        model: offers `loss(batch)`, `configure_optimizers(total_steps)`, `train_metrics` and `val_metrics`.
        options: how to train.
        batches: training batches of an epoch.
        stopping: watches for when to stop early; without patience it never says so.
        keeping: watches for the weights to keep.
        check: stops at numbers that are infinite or not a number.
    """

    def __init__(
        self,
        model: Any,
        options: Options,
        batches: int,
        stopping: Watch | None = None,
        keeping: Watch | None = None,
        check: FiniteCheck | None = None,
    ) -> None:
        self.model, self.options = model.to(options.device), options
        steps = math.ceil(batches / options.accumulate) * options.epochs
        self.optimizer, self.schedule = unpacked(model.configure_optimizers(steps))
        self.stopping, self.keeping = stopping or Watch(), keeping or Watch()
        self.scaler = options.scaler or GradScaler(options.device.type, enabled=options.autocast == torch.float16)
        self.average = averaged(model, options)
        self.check = check or FiniteCheck()
        self.epoch = self.batch = self.step = 0  # epochs, batches of the next one and steps that are done
        self.lr = torch.tensor(math.nan)  # at the beginning of the epoch
        self.best: Mapping[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """Say whether no epoch is left, or any would be in vain."""
        return self.epoch >= self.options.epochs or self.stopping.in_vain

    @property
    def evaluated(self) -> Any:
        """Return the model that is validated and kept: the moving average, where there is one."""
        return self.average.module if self.average else self.model


def averaged(model: nn.Module, options: Options) -> AveragedModel | None:
    """Begin a moving average of weights and buffers, if one is wanted."""
    if options.ema is None:
        return None
    return AveragedModel(model, options.device, avg_fn=get_ema_avg_fn(options.ema), use_buffers=True)


def fit(
    training: Training,
    train: Batches,
    val: Batches,
    on_epoch_end: Callable[[Training, Metrics, bool], None] = lambda *_: None,
    on_step: Callable[[Training], None] = lambda _: None,
) -> None:
    """Train until the last epoch or until it is in vain, then restore the best weights.

    Args:
        training: a model's training, to be begun or continued.
        train: training batches.
        val: validation batches.
        on_epoch_end: is told the metrics of each epoch, and whether it is the best so far.
        on_step: is called after each step but the last of an epoch.
    """
    for epoch in range(training.epoch, training.options.epochs):
        start = perf_counter()
        if training.batch == 0:
            training.lr = torch.tensor(training.optimizer.param_groups[0]["lr"])
        metrics = {"lr": training.lr}
        metrics |= train_epoch(training, train, epoch, on_step)
        metrics |= evaluate(training.evaluated, training.options, val, epoch)
        metrics |= {"seconds": torch.tensor(perf_counter() - start)}
        training.epoch, training.batch = training.epoch + 1, 0
        if training.schedule.due("epoch", training.epoch):
            training.schedule.step(metrics)
        best = training.keeping.improved(metrics) or not training.best
        if best:
            training.best = copy.deepcopy(training.evaluated.state_dict())
        training.stopping.improved(metrics)
        on_epoch_end(training, metrics, best)
        if training.finished:
            break
    training.model.load_state_dict(training.best)


def train_epoch(training: Training, batches: Batches, epoch: int, on_step: Callable[[Training], None]) -> Metrics:
    """Go through the training batches once, from where training is."""
    model, options = training.model, training.options  # in the mode that the model was made in, training
    start, images = perf_counter(), 0
    training.check.begin(model, training.scaler)
    bar = batches.epoch(epoch, training.batch)
    for number, batch in enumerate(bar, start=training.batch + 1):
        with autocast(options):
            loss, logits = model.loss(batch)
            model.train_metrics.update(loss, logits, batch[1])
        lr = training.optimizer.param_groups[0]["lr"]
        training.check.before_backward(loss, Position(epoch, number - 1, training.step, lr))
        training.scaler.scale(loss / options.accumulate).backward()
        training.check.after_backward()
        if number % options.accumulate == 0 or number == len(batches):
            take_step(training)
            if training.schedule.due("step", number):
                training.schedule.step()
        images += len(batch[0])
        show_progress(bar, model.train_metrics.running)
        if number % options.accumulate == 0 and number < len(batches):
            training.batch = number
            on_step(training)
    training.check.settle()
    speed = {"images_per_second": torch.tensor(images / (perf_counter() - start))}
    return speed | report("train", model.train_metrics)


def autocast(options: Options) -> torch.autocast:
    """Choose the precision of matrix products; casts of weights are not cached, as in Lightning."""
    wanted = options.autocast is not None
    return torch.autocast(options.device.type, options.autocast, enabled=wanted, cache_enabled=False)


def take_step(training: Training) -> None:
    """Change the weights by their gradients."""
    clip_gradients(training)
    training.scaler.step(training.optimizer)  # skipped where a gradient is infinite or not a number
    training.scaler.update()
    training.optimizer.zero_grad()
    training.step += 1
    if training.average:
        training.average.update_parameters(training.model)


def clip_gradients(training: Training) -> None:
    """Bound the gradients."""
    clip = training.options.clip
    if clip is None:
        return
    training.scaler.unscale_(training.optimizer)  # the bound is in the gradients' own unit
    parameters = [p for group in training.optimizer.param_groups for p in group["params"]]
    if training.options.clip_algorithm == "norm":
        nn.utils.clip_grad_norm_(parameters, clip)
    else:
        nn.utils.clip_grad_value_(parameters, clip)


def evaluate(model: Any, options: Options, batches: Batches, epoch: int = 0, part: str = "val") -> Metrics:
    """Measure a model without learning."""
    counted = getattr(model, f"{part}_metrics")
    bar = batches.epoch(epoch)
    with torch.inference_mode(), evaluation_mode(model):
        for batch in bar:
            with autocast(options):
                loss, logits = model.loss(batch)
                counted.update(loss, logits, batch[1])
            show_progress(bar, counted.running)
    return report(part, counted)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout off and have BatchNorm use its running statistics, then put each module back as it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    yield
    for module, mode in modes.items():
        module.training = mode


def report(part: str, counted: Any) -> Metrics:
    """Compute an epoch's metrics and begin anew."""
    metrics = {f"{part}/{name}": value.cpu() for name, value in counted.compute().items()}
    counted.reset()
    return metrics
