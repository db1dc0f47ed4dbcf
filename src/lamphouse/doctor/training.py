"""Checks of a few steps of training by a stock Trainer: gradients, modes, the first loss, overfitting one batch."""

import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from torch import Tensor

from lamphouse.doctor.findings import Finding, attempt, judged, ok, problem

STEPS = 100  # to overfit one batch
SECONDS = 20.0  # after which it ends
LEARNED = 0.5  # of the first loss, or less
ACCUMULATED = 1.6  # times the gradient of the step before, with the same weights and batch
GUESS = (0.5, 2.0)  # times the loss of equal probabilities
WAITING = 0.5  # of the time
MOST_NAMED = 4
QUIET: dict[str, Any] = {
    **dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False),
    "num_sanity_val_steps": 0,
}


@dataclass
class Observer(Callback):
    """Records what a Trainer does; `frozen` keeps the weights as they are."""

    frozen: bool = False
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)  # of the gradients of each batch
    without_gradient: list[str] = field(default_factory=list)  # parameters, after the first batch
    evaluating: list[str] = field(default_factory=list)  # modules in evaluation mode, at a training batch
    training: list[str] = field(default_factory=list)  # modules in training mode, at a validation batch
    times: list[tuple[float, float]] = field(default_factory=list)  # start and end of each batch
    started: float = 0.0
    weights: dict[str, Tensor] = field(default_factory=dict)  # after training

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.evaluating = [name for name, module in pl_module.named_modules() if not module.training]
        self.times.append((perf_counter(), math.inf))

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        named = {name: one for name, one in pl_module.named_parameters() if one.requires_grad}
        if not self.norms:
            self.without_gradient = [n for n, one in named.items() if one.grad is None or not one.grad.any()]
        gradients = [one.grad for one in named.values() if one.grad is not None]
        self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if self.frozen:
            for group in optimizer.param_groups:
                group["lr"] = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.times[-1] = (self.times[-1][0], perf_counter())
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        self.losses += [float(loss)] if loss is not None else []  # manual optimization may return none
        trainer.should_stop |= perf_counter() - self.started > SECONDS

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.weights = {name: tensor.detach().cpu() for name, tensor in pl_module.state_dict().items()}

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.training = [name for name, module in pl_module.named_modules() if module.training]


class Repeated:
    """A loader of one batch, several times."""

    def __init__(self, batch: Any, times: int) -> None:
        self.batch, self.times = batch, times

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[Any]:
        return repeat(self.batch, self.times)


def examine_training(
    model: LightningModule, batch: Any, num_classes: int | None = None, **options: Any
) -> Iterator[Finding]:
    """Train copies of a model on one batch, preprocessed, and check what happens.

    Args:
        model: not trained yet.
        batch: what its `training_step` takes.
        num_classes: of a classifier with cross entropy; None for other losses.
        **options: of the Trainers.
    """
    few = _train(model, batch, 3, Observer(frozen=True), **options)
    if isinstance(few, Finding):
        yield few
        return
    yield _zeroed(few)
    yield _modes(few)
    yield _reached(few)
    if num_classes is not None and few.losses:
        yield _first_loss(few, num_classes)
    yield attempt(lambda: _learned(model, batch, **options), "one batch learned by heart")
    yield attempt(lambda: _deterministic(model, batch, **options), "the same weights twice")


def _train(model: LightningModule, batch: Any, steps: int, observer: Observer, **options: Any) -> Observer | Finding:
    seed_everything(0, verbose=False)
    model = deepcopy(model)
    trainer = Trainer(callbacks=[observer], max_steps=steps, max_epochs=1, **QUIET, **deepcopy(options))
    try:
        trainer.fit(model, Repeated(batch, steps), Repeated(batch, 1))
    except Exception as error:  # of a user's code, which may raise anything
        reason = next(iter(str(error).strip().splitlines()), "")
        return problem(f"training fails: {type(error).__name__}: {reason}", "see the traceback of `fit`")
    return observer


def _zeroed(few: Observer) -> Finding:
    norms = ", ".join(f"{norm:.3g}" for norm in few.norms)
    first, second, third = [*few.norms, 0.0, 0.0, 0.0][:3]
    if second > ACCUMULATED * first > 0 and third > second:
        text = f"gradients grow from step to step with the same weights and batch ({norms})"
        return problem(text, "call optimizer.zero_grad() before each backward pass")
    return ok(f"gradients are zeroed before each step (norms {norms})")


def _modes(few: Observer) -> Finding:
    if few.training:
        text = f"modules are in training mode at validation: {_named(few.training)}"
        return problem(text, "do not call train() in validation steps")
    if few.evaluating:
        text = f"modules are in evaluation mode in training: {_named(few.evaluating)}"
        return problem(text, "do not call eval() in training, unless these layers are frozen on purpose")
    return ok("modules are in training mode in training and in evaluation mode at validation")


def _reached(few: Observer) -> Finding:
    if few.without_gradient:
        text = f"parameters get no gradient: {_named(few.without_gradient)}"
        return problem(text, "use them in the loss, or freeze them with requires_grad_(False)")
    return ok("every parameter gets a gradient")


def _first_loss(few: Observer, num_classes: int) -> Finding:
    loss, guess = few.losses[0], math.log(num_classes)
    text = f"the first loss is {loss:.3f}, that of guessing among {num_classes} classes {guess:.3f}"
    way_out = "look at the scale of the logits, the initialization, and targets among the inputs"
    return judged(GUESS[0] * guess <= loss <= GUESS[1] * guess, text, way_out)


def _learned(model: LightningModule, batch: Any, **options: Any) -> Finding:
    observer = _train(model, batch, STEPS, Observer(), **options)
    if isinstance(observer, Finding):
        return observer
    if not observer.losses:
        return Finding("skipped", "one batch learned by heart (training_step returns no loss)")
    first, last = observer.losses[0], min(observer.losses)
    text = f"one batch, trained {len(observer.losses)} times: the loss goes from {first:.3f} to {last:.3f}"
    if len(observer.losses) < STEPS and last > LEARNED * first:
        return Finding("skipped", f"{text} when {SECONDS:.0f} s are over, too few steps to tell")
    way_out = "try other learning rates; if none learns it, look at the loss, the targets and what is detached"
    return judged(last <= LEARNED * first, text, way_out)


def _deterministic(model: LightningModule, batch: Any, **options: Any) -> Finding:
    weights = []
    for _ in range(2):
        observer = _train(model, batch, 3, Observer(), **options)
        if isinstance(observer, Finding):
            return observer
        weights.append(observer.weights)
    differ = [name for name, tensor in weights[0].items() if not torch.equal(tensor, weights[1][name])]
    if differ:
        text = f"the same seed gives other weights: {_named(differ)}"
        return problem(text, "look for random numbers without a seed; --trainer.deterministic true")
    return ok("the same seed gives the same weights")


def examine_loading(model: LightningModule, data: LightningDataModule, batches: int, **options: Any) -> Finding:
    """Train on some batches of the data, and compare the time that they take to load with that of the steps."""
    observer = Observer()
    trainer = Trainer(callbacks=[observer], max_steps=batches, limit_val_batches=0, **QUIET, **options)
    trainer.fit(deepcopy(model), datamodule=data)
    times = observer.times[1:]  # the first step sets things up
    training = sum(end - start for start, end in times)
    waits = [later[0] - earlier[1] for earlier, later in pairwise(times)]
    waiting = sum(waits) - max(waits, default=0.0)  # during one, another process may have had the core
    share = waiting / max(training + waiting, 1e-9)
    text = f"a step takes {1e3 * training / max(len(times), 1):.1f} ms, and {share:.0%} of the time goes into loading"
    return judged(share <= WAITING, text, "raise --data.num_workers, or keep the samples in memory")


def _named(names: list[str]) -> str:
    shown = [name or "the model" for name in names[:MOST_NAMED]]
    return ", ".join(shown) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
