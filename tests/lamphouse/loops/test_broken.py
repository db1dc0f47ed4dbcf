"""The test of the tests: a loop that is wrong in one thing is caught, with a hint at that thing."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import AUTOMATIC, HANDWRITTEN, MANUAL, Case, one_thread, train

from lamphouse.loops.parity import HINTS, first_difference, largest_difference, verdict
from lamphouse.loops.trace import Trace
from arc_light.loops import handwritten

NO_STEP = "ignore:Detected call of `lr_scheduler.step..` before `optimizer.step:UserWarning"
CASE = Case(schedule="one_cycle", clip="norm")
FP16 = Case(clip="norm", precision="fp16")
ACCUMULATED = Case(accumulate=3)


def forget_zero_grad(experiment: Any) -> None:
    experiment.model.optimizer_zero_grad = lambda *_: None


def clip_before_unscaling(experiment: Any) -> None:
    model = experiment.model
    add_gradients = model.manual_accumulate

    def add_and_clip(loss: torch.Tensor, full: bool) -> None:
        add_gradients(loss, full)
        model.clip_gradients(model.optimizers().optimizer, model.manual_clip, model.manual_clip_algorithm)

    model.manual_accumulate, model.on_before_optimizer_step = add_and_clip, lambda _: None


def step_schedule_twice(experiment: Any) -> None:
    experiment.model.lr_scheduler_step = lambda scheduler, _: (scheduler.step(), scheduler.step())


def never_step_schedule(experiment: Any) -> None:
    experiment.model.lr_scheduler_step = lambda *_: None


def train_in_evaluation_mode(experiment: Any) -> None:
    experiment.model.on_train_start = experiment.model.network.eval


def do_not_divide(experiment: Any) -> None:
    add_gradients = experiment.model.manual_accumulate
    experiment.model.manual_accumulate = lambda loss, full: add_gradients(loss * 3, full)


def forget_partial_window(experiment: Any) -> None:
    take_step = experiment.model.manual_step
    experiment.model.manual_step = lambda batch_idx: take_step(batch_idx) if (batch_idx + 1) % 3 == 0 else None


def draw_a_number(experiment: Any) -> None:
    experiment.model.on_train_batch_end = lambda *_: torch.rand(1)


def shuffle_otherwise(experiment: Any) -> None:
    experiment.datamodule.seed += 1


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
        (forget_partial_window, ACCUMULATED, "optimizer steps", None),
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


def test_evaluation_in_training_mode_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(model="resnet", epochs=1)
    with one_thread():
        right = train(AUTOMATIC, case, tmp_path)
        monkeypatch.setattr(handwritten, "evaluation_mode", nullcontext)
        wrong = train(HANDWRITTEN, case, tmp_path)
    difference = first_difference(right, wrong)
    assert difference is not None
    assert "mean" in difference.what  # BatchNorm learned from validation images


def test_a_shorter_training_is_caught(tmp_path: Path) -> None:
    with one_thread():
        right = train(AUTOMATIC, Case(), tmp_path)
        wrong = train(HANDWRITTEN, Case(epochs=2), tmp_path)
    assert str(first_difference(right, wrong)) == "number of batches, step 10"


def test_other_best_weights_are_caught(tmp_path: Path) -> None:
    with one_thread():
        right = train(AUTOMATIC, Case(), tmp_path)
    best = {name: tensor + 1 for name, tensor in right.best.items()}
    wrong = type(right)("manual", right.trace, right.last, best, right.rows)
    difference = first_difference(right, wrong)
    assert difference is not None
    assert difference.kind == "best weights"


def test_other_metrics_are_caught(tmp_path: Path) -> None:
    with one_thread():
        right = train(AUTOMATIC, Case(), tmp_path)
    rows = [*right.rows[:1], {**right.rows[1], "val/acc": 0.123}, *right.rows[2:]]
    wrong = type(right)("manual", right.trace, right.last, right.best, rows)
    assert str(first_difference(right, wrong)) == "val/acc of row 1"


def test_a_trace_notes_what_it_says() -> None:
    assert {"optimizer steps", "learning rate", "mode", "random numbers", "batch", "loss"} <= HINTS.keys()
    assert Trace().seconds_per_step() != Trace().seconds_per_step()  # not a number before the second batch


def test_weights_of_other_shapes_are_infinitely_far_away() -> None:
    mine = {"weight": torch.zeros(2)}
    assert largest_difference(mine, {"weight": torch.ones(2)}) == 1
    assert largest_difference(mine, {"weight": torch.zeros(3)}) == float("inf")
    assert largest_difference(mine, {"bias": torch.zeros(2)}) == float("inf")
