"""The test of the tests: a loop with one mistake is caught, with a hint at the mistake."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import AUTOMATIC, HANDWRITTEN, MANUAL, Case, one_thread, train
from lightning.pytorch import Trainer
from torch import nn

from lamphouse.loops import Trace, verdict
from lamphouse.loops.parity import HINTS, first_difference, largest_difference

NO_STEP = "ignore:Detected call of `lr_scheduler.step..` before `optimizer.step:UserWarning"
CASE = Case(schedule="one_cycle", clip="norm")
FP16 = Case(clip="norm", precision="fp16")
ACCUMULATED = Case(accumulate=3)


def forget_zero_grad(experiment: Any) -> None:
    optimizer_of = experiment.model.optimizers

    def without_zero_grad() -> Any:
        optimizer = optimizer_of()
        optimizer.zero_grad = lambda: None
        return optimizer

    experiment.model.optimizers = without_zero_grad


def clip_before_unscaling(experiment: Any) -> None:
    model = experiment.model
    backward = model.manual_backward

    def backward_and_clip(loss: torch.Tensor) -> None:
        backward(loss)
        model.clip_gradients(model.optimizers().optimizer, **model.manual_clipping)

    model.manual_backward, model.configure_gradient_clipping = backward_and_clip, lambda *_, **__: None


def step_schedule_twice(experiment: Any) -> None:
    experiment.model.lr_scheduler_step = lambda scheduler, _: (scheduler.step(), scheduler.step())


def never_step_schedule(experiment: Any) -> None:
    experiment.model.lr_scheduler_step = lambda *_: None


def train_in_evaluation_mode(experiment: Any) -> None:
    experiment.model.on_train_start = experiment.model.network.eval


def do_not_divide(experiment: Any) -> None:
    backward = experiment.model.manual_backward
    experiment.model.manual_backward = lambda loss: backward(loss * 3)


def draw_a_number(experiment: Any) -> None:
    experiment.model.on_train_batch_end = lambda *_: torch.rand(1)


def shuffle_otherwise(experiment: Any) -> None:
    experiment.data.seed += 1


def nudge_a_weight(experiment: Any) -> None:
    with torch.no_grad():
        experiment.model.network[1].bias[0] += 1e-7


@pytest.mark.filterwarnings(NO_STEP)
@pytest.mark.parametrize(
    ("break_it", "case", "kind", "step"),
    [
        (forget_zero_grad, CASE, "weights", 1),  # the second step is the first with old gradients
        (clip_before_unscaling, FP16, "weights", None),
        (step_schedule_twice, CASE, "learning rate", 1),
        (never_step_schedule, CASE, "learning rate", 1),
        (train_in_evaluation_mode, CASE, "mode", 0),
        (do_not_divide, ACCUMULATED, "weights", 0),
        (draw_a_number, CASE, "random numbers", 1),
        (shuffle_otherwise, CASE, "batch", 0),
        (nudge_a_weight, CASE, "weights", -1),  # before the first step
    ],
)
def test_is_caught(break_it: Callable[[Any], None], case: Case, kind: str, step: int | None, tmp_path: Path) -> None:
    with one_thread():
        right = train(AUTOMATIC, case, tmp_path)
        wrong = train(MANUAL, case, tmp_path, change=break_it)
    difference = first_difference(right, wrong)
    assert difference is not None
    assert difference.kind == kind
    assert step is None or difference.step == step
    same, text = verdict([right, wrong])
    assert not same
    assert HINTS[kind] in text


def test_a_forgotten_last_step_of_an_epoch_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with one_thread():
        right = train(AUTOMATIC, ACCUMULATED, tmp_path)
        monkeypatch.setattr(Trainer, "is_last_batch", False)
        wrong = train(MANUAL, ACCUMULATED, tmp_path)
    difference = first_difference(right, wrong)
    assert difference is not None
    assert difference.kind == "optimizer steps"


def test_another_precision_is_caught(tmp_path: Path) -> None:
    with one_thread():
        right, wrong = (train(AUTOMATIC, Case(precision=kind), tmp_path / kind) for kind in ("fp32", "bf16"))
    difference = first_difference(right, wrong)
    assert difference is not None
    assert (difference.kind, difference.step) == ("loss", 0)


def test_evaluation_in_training_mode_is_caught(tmp_path: Path) -> None:
    def forget_evaluation_mode(experiment: Any) -> None:
        experiment.model.eval = lambda: None

    case = Case(model="resnet", epochs=2)
    with one_thread():
        right = train(AUTOMATIC, case, tmp_path)
        wrong = train(HANDWRITTEN, case, tmp_path, change=forget_evaluation_mode)
    difference = first_difference(right, wrong)
    assert difference is not None
    assert "mean" in difference.what  # BatchNorm updated its statistics by validation images


def test_a_shorter_training_is_caught(tmp_path: Path) -> None:
    with one_thread():
        right = train(AUTOMATIC, Case(), tmp_path)
        wrong = train(HANDWRITTEN, Case(epochs=2), tmp_path)
    assert str(first_difference(right, wrong)) == "number of batches, step 10"


def test_other_best_weights_are_caught(tmp_path: Path) -> None:
    with one_thread():
        right = train(AUTOMATIC, Case(epochs=2), tmp_path)
    best = {name: tensor + 1 for name, tensor in right.best.items()}
    wrong = type(right)("manual", right.trace, right.last, best, right.rows)
    difference = first_difference(right, wrong)
    assert difference is not None
    assert difference.kind == "best weights"


def test_other_metrics_are_caught(tmp_path: Path) -> None:
    with one_thread():
        right = train(AUTOMATIC, Case(epochs=2), tmp_path)
    rows = [*right.rows[:1], {**right.rows[1], "val/acc": 0.123}, *right.rows[2:]]
    wrong = type(right)("manual", right.trace, right.last, right.best, rows)
    assert str(first_difference(right, wrong)) == "val/acc of row 1"


def test_a_trace_notes_what_it_says() -> None:
    assert {"optimizer steps", "learning rate", "mode", "random numbers", "batch", "loss"} <= HINTS.keys()
    assert math.isnan(Trace(nn.Linear(1, 1)).seconds_per_step())  # before the second batch


def test_weights_of_other_shapes_are_infinitely_far_away() -> None:
    mine = {"weight": torch.zeros(2)}
    assert largest_difference(mine, {"weight": torch.ones(2)}) == 1
    assert largest_difference(mine, {"weight": torch.zeros(3)}) == float("inf")
    assert largest_difference(mine, {"bias": torch.zeros(2)}) == float("inf")
