"""The test of the tests: a loop with one mistake is caught, with a hint at the mistake."""

import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import AUTOMATIC, HANDWRITTEN, MANUAL, Case, one_thread, train
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn

from lamphouse.loops import Outcome, Trace, verdict
from lamphouse.loops.differences import HINTS, first_difference
from lamphouse.loops.parity import largest_difference
from lamphouse.loops.run import callback
from arc_light.loops import handwritten

NO_STEP = "ignore:Detected call of `lr_scheduler.step..` before `optimizer.step:UserWarning"
CASE = Case(schedule="one_cycle", clip="norm")
FP16 = Case(clip="norm", precision="fp16")
ACCUMULATED = Case(accumulate=3)
STOPPED = Case(stopping="acc", epochs=30)
AVERAGED = Case(model="resnet", ema=0.9, epochs=2)


def forget_zero_grad(experiment: Any) -> None:
    experiment.model.optimizer_zero_grad = lambda *_: None


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


def nudge_it_after_a_step(experiment: Any) -> None:
    experiment.model.on_train_batch_end = lambda *_: nudge_a_weight(experiment)


def change_the_loss(experiment: Any, change: Callable[[Any], Any]) -> None:
    compute = experiment.model.manual_loss
    experiment.model.manual_loss = lambda batch, number: change(compute(batch, number))


def add_a_penalty(experiment: Any) -> None:
    change_the_loss(experiment, lambda loss: loss + experiment.model.network[1].weight.square().sum())


def double_the_loss(experiment: Any) -> None:
    change_the_loss(experiment, lambda loss: loss * 2)


def clip_less(experiment: Any) -> None:
    experiment.model.manual_clipping = {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "norm"}


def freeze(experiment: Any) -> None:
    experiment.model.network[1].weight.requires_grad = False


def change_the_batch(experiment: Any) -> None:
    compute = experiment.model.manual_loss
    experiment.model.manual_loss = lambda batch, number: compute([batch[0] + 1, *batch[1:]], number)


def change_the_batch_in_place(experiment: Any) -> None:
    cls = type(experiment.model)  # which the manual loop has made for this experiment

    def loss(model: Any, batch: Any) -> Any:
        result = super(cls, model).loss([batch[0].clone(), *batch[1:]])
        batch[0].add_(1)
        return result

    cls.loss = loss


def step_twice(experiment: Any) -> None:
    experiment.model.optimizer_step = lambda _, __, optimizer, closure: (optimizer.step(closure), optimizer.step())


def be_more_patient(experiment: Any) -> None:
    callback(experiment.trainer, EarlyStopping).patience += 1


def keep_the_worst(experiment: Any) -> None:
    best = callback(experiment.trainer, ModelCheckpoint)
    best.mode, best.choose_mode = "min", lambda _: None


def omit_the_last_batch(experiment: Any) -> None:
    experiment.trainer.limit_train_batches = 4


def omit_the_last_batch_of_the_validation(experiment: Any) -> None:
    experiment.trainer.limit_val_batches = 1


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Outcome]:
    """Train a case as it should be, once for all tests."""

    def trained(case: Case) -> Outcome:
        with one_thread():
            return train(AUTOMATIC, case, tmp_path_factory.mktemp("right"))

    return cache(trained)


def assert_explained(right: Outcome, wrong: Outcome, kind: str, what: str) -> None:
    difference = first_difference(right, wrong)
    assert difference is not None
    assert (difference.kind, str(difference)) == (kind, what)
    same, text = verdict([right, wrong])
    assert not same
    assert HINTS[kind] in text


WEIGHT = "network.1.weight"


@pytest.mark.filterwarnings(NO_STEP)
@pytest.mark.parametrize(
    ("break_it", "case", "kind", "what"),
    [
        # the second step is the first with old gradients
        (forget_zero_grad, CASE, "old gradients", f"old gradient of {WEIGHT}, step 1"),
        (clip_before_unscaling, FP16, "scale of the gradients", None),
        (clip_less, CASE, "scale of the gradients", None),
        (step_schedule_twice, CASE, "learning rate", "learning rate, step 1"),
        (never_step_schedule, CASE, "learning rate", "learning rate, step 1"),
        (train_in_evaluation_mode, CASE, "mode", "mode, step 0"),
        (freeze, CASE, "requires_grad", "requires_grad, step 0"),
        (do_not_divide, ACCUMULATED, "factor of the loss", "factor of the loss, step 0"),
        (double_the_loss, CASE, "factor of the loss", "factor of the loss, step 0"),
        (add_a_penalty, Case(), "gradients", f"gradient of {WEIGHT}, step 0"),
        (draw_a_number, CASE, "random numbers", "random numbers, step 1"),
        (shuffle_otherwise, CASE, "order", "batch, step 0"),
        (change_the_batch, CASE, "batch", "batch, step 0"),
        (change_the_batch_in_place, CASE, "batch changed", "batch, step 0"),
        (step_twice, CASE, "optimizer steps", "2 optimizer steps instead of 1, step 1"),
        (nudge_a_weight, CASE, "initial weights", "network.1.bias, before the first step"),
        (nudge_it_after_a_step, CASE, "weights", "network.1.bias, step 0"),
    ],
)
def test_a_mistake_in_a_step_is_explained(
    right: Any, break_it: Callable[[Any], None], case: Case, kind: str, what: str | None, tmp_path: Path
) -> None:
    with one_thread():
        wrong = train(MANUAL, case, tmp_path, change=break_it)
    difference = first_difference(right(case), wrong)
    assert_explained(right(case), wrong, kind, what or str(difference))


@pytest.mark.parametrize(
    ("break_it", "case", "kind", "what"),
    [
        (be_more_patient, STOPPED, "epochs", None),
        (keep_the_worst, STOPPED, "best weights", None),
        (omit_the_last_batch, CASE, "batches", "4 batches instead of 5 in epoch 0"),
        (
            omit_the_last_batch_of_the_validation,
            CASE,
            "evaluated batches",
            "1 evaluated batches instead of 2, step 4",
        ),
    ],
)
def test_a_mistake_in_an_epoch_is_explained(
    right: Any, break_it: Callable[[Any], None], case: Case, kind: str, what: str | None, tmp_path: Path
) -> None:
    with one_thread():
        wrong = train(HANDWRITTEN, case, tmp_path, change=break_it)
    epochs, best = len(right(case).rows) - 1, "best weights of epoch"
    expected = {"epochs": f"{epochs + 1} epochs instead of {epochs}", "best weights": f"{best} 0 instead of"}.get(kind)
    difference = str(first_difference(right(case), wrong))
    assert what or difference.startswith(str(expected))
    assert_explained(right(case), wrong, kind, what or difference)


def test_averages_without_buffers_are_explained(right: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    average: Any = partial(handwritten.AveragedModel, use_buffers=False)
    monkeypatch.setattr(handwritten, "AveragedModel", lambda *args, **_: average(*args))
    with one_thread():
        wrong = train(HANDWRITTEN, AVERAGED, tmp_path)
    assert_explained(right(AVERAGED), wrong, "evaluated buffers", "network.1.running_mean, step 4")


def test_a_forgotten_last_step_of_an_epoch_is_caught(
    right: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with one_thread():
        reference = right(ACCUMULATED)
        monkeypatch.setattr(Trainer, "is_last_batch", False)
        wrong = train(MANUAL, ACCUMULATED, tmp_path)
    assert_explained(reference, wrong, "optimizer steps", "1 optimizer steps instead of 2, step 1")


def test_another_precision_is_caught(right: Any, tmp_path: Path) -> None:
    with one_thread():
        wrong = train(AUTOMATIC, Case(precision="bf16"), tmp_path)
    assert_explained(right(Case()), wrong, "loss", "loss, step 0")


def test_evaluation_in_training_mode_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(model="resnet", epochs=2)
    with one_thread():
        right = train(AUTOMATIC, case, tmp_path)
        monkeypatch.setattr(nn.Module, "eval", lambda module: module)
        wrong = train(HANDWRITTEN, case, tmp_path)
    difference = first_difference(right, wrong)
    assert difference is not None
    assert (difference.kind, difference.step) == ("evaluation mode", 4)


def test_a_shorter_training_is_caught(right: Any, tmp_path: Path) -> None:
    with one_thread():
        wrong = train(HANDWRITTEN, Case(epochs=2), tmp_path)
    assert_explained(right(Case()), wrong, "epochs", "2 epochs instead of 3")


def test_other_metrics_are_caught(right: Any) -> None:
    one = right(Case())
    rows = [*one.rows[:1], {**one.rows[1], "val/acc": 0.123}, *one.rows[2:]]
    assert_explained(one, Outcome("manual", one.trace, one.last, one.best, rows), "metrics", "val/acc of row 1")
    rows = [*one.rows[:-1], {**one.rows[-1], "test/acc": 0.123}]
    assert_explained(one, Outcome("manual", one.trace, one.last, one.best, rows), "tested", "test/acc of row 3")


def test_a_trace_of_nothing_has_no_speed() -> None:
    assert math.isnan(Trace(nn.Linear(1, 1)).seconds_per_step())  # before the second batch


def test_weights_of_other_shapes_are_infinitely_far_away() -> None:
    mine = {"weight": torch.zeros(2)}
    assert largest_difference(mine, {"weight": torch.ones(2)}) == 1
    assert largest_difference(mine, {"weight": torch.zeros(3)}) == float("inf")
    assert largest_difference(mine, {"bias": torch.zeros(2)}) == float("inf")


def test_complex_and_sparse_weights_have_a_distance() -> None:
    mine, yours = torch.tensor([1 + 1j]), torch.tensor([1 - 1j])
    assert largest_difference({"c": mine, "s": torch.eye(2).to_sparse()}, {"c": yours, "s": torch.eye(2)}) == 2
    assert largest_difference({"_extra_state": {"calls": 1}}, {"_extra_state": {"calls": 2}}) == 0
