"""Hooks that are empty are not called, all others are, and gradients are clipped as ever."""

import csv
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import Outcome
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel, ManualOptimBoringModel
from lightning.pytorch.profilers import SimpleProfiler
from stock import QUIET, UnstableModel
from torch import Tensor

from lamphouse.callbacks import SkipIdleHooks, StopNotFinite
from lamphouse.errors import NotFiniteError
from lamphouse.overhead import BATCH_HOOKS, LeanModule

Command = Callable[..., Outcome]


class Counts(Callback):
    """Has one hook of its own, and gets another later."""

    def __init__(self) -> None:
        self.ends = self.starts = 0

    def on_train_batch_end(self, *args: Any) -> None:
        self.ends += 1

    def start(self, *args: Any) -> None:
        self.starts += 1


class OwnHook(BoringModel):
    """Has one hook of its own."""

    gradients = 0

    def on_after_backward(self) -> None:
        self.gradients += 1


def recorded(trainer: Trainer) -> set[str]:
    """Name the hooks of batches that a Trainer has called."""
    called = trainer.profiler.recorded_durations  # type: ignore[attr-defined]  # of a SimpleProfiler
    return {name.split("]")[1] for name in called if name.endswith(BATCH_HOOKS)}


def test_only_hooks_that_do_something_are_called() -> None:
    counts, model = Counts(), OwnHook()
    counts.on_train_batch_start = counts.start  # type: ignore[method-assign]
    trainer = Trainer(callbacks=[counts, SkipIdleHooks()], profiler=SimpleProfiler(), **QUIET)
    trainer.fit(model)
    assert recorded(trainer) == {
        "Counts.on_train_batch_start",
        "Counts.on_train_batch_end",
        "OwnHook.on_after_backward",
    }
    assert (counts.ends, counts.starts, model.gradients) == (8, 8, 8)


@pytest.mark.parametrize("model", [BoringModel(), UnstableModel(), ManualOptimBoringModel()])
def test_hooks_are_as_before_afterwards(model: LightningModule) -> None:
    saver = ModelCheckpoint(save_top_k=0)
    trainer = Trainer(callbacks=[SkipIdleHooks(), StopNotFinite(), saver], **{**QUIET, "enable_checkpointing": True})
    try:
        trainer.fit(model)
    except NotFiniteError:
        assert isinstance(model, UnstableModel)
    owners = [*trainer.callbacks, trainer.strategy, model]  # type: ignore[attr-defined]  # set by a connector
    assert all(callable(getattr(owner, hook, callable)) for owner in owners for hook in BATCH_HOOKS)


class TakesIndex(LeanModule, BoringModel):
    """Takes the number of a batch."""

    numbers: ClassVar[list[int]] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.numbers.append(batch_idx)
        return super().training_step(batch, batch_idx)


class TakesBatch(TakesIndex):
    """Takes batches alone."""

    def training_step(self, batch: Tensor) -> Any:  # type: ignore[override]  # Lightning leaves the choice
        return super().training_step(batch, -1)


@pytest.mark.parametrize(("model", "numbers"), [(TakesIndex, [0, 1, 2, 3]), (TakesBatch, [-1] * 4)])
def test_a_step_gets_what_its_own_signature_names(model: type[TakesIndex], numbers: list[int]) -> None:
    model.numbers.clear()
    Trainer(**{**QUIET, "max_epochs": 1, "limit_train_batches": 4}).fit(model())
    assert model.numbers == numbers
    assert inspect.signature(model.training_step) is inspect.signature(model.training_step)  # and not built each time


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_of_a_fused_optimizer_are_clipped(
    fit: Callable[..., Outcome], algorithm: str, precision: str
) -> None:
    options = [f"--trainer.precision={precision}", "--model.optimizer.fused=true", "--gradient_norms=1"]
    fit(*options, "--trainer.gradient_clip_val=0.0001", f"--trainer.gradient_clip_algorithm={algorithm}")
    (path,) = Path("runs").glob("*/*/steps.csv")
    with path.open(newline="") as file:
        norms = [row for row in csv.DictReader(file) if row["gradients/norm"]]
    assert norms
    for row in norms:
        assert float(row["gradients/clipped_norm"]) < 0.1 * float(row["gradients/norm"]) < 10
