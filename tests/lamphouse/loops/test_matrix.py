"""The three loops compute the same bits, whatever the options."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random

import pytest
import torch
from allpairspy import AllPairs
from cases import (
    AUTOMATIC,
    FACTORS,
    HANDWRITTEN,
    Case,
    Experiment,
    assert_same_bits,
    on,
    one_thread,
    train,
    train_all,
)

from lamphouse.loops.parity import first_difference

PAIRS = [Case(*values) for values in AllPairs(list(FACTORS.values()))]
FAST = 1  # pair that every run of the tests trains; the others are slow
DRAWN = {
    "model": [*FACTORS["model"][:1] * 4, *FACTORS["model"]],
    "optimizer": FACTORS["optimizer"],
    "stopping": FACTORS["stopping"],
}  # in the full product of the others
NO_STEP = "ignore:Detected call of `lr_scheduler.step..` before `optimizer.step:UserWarning"  # the first one overflowed
WORKERS = "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"  # of Python 3.12, for loaders


def full_product() -> list[Case]:
    names = [name for name in FACTORS if name not in (*DRAWN, "workers")]  # processes are slow to start
    combinations = [dict(zip(names, values, strict=True)) for values in product(*(FACTORS[name] for name in names))]
    draw = Random(0)  # noqa: S311  # the same in every run
    return [Case(**values, **{name: draw.choice(some) for name, some in DRAWN.items()}) for values in combinations]


def test_every_two_values_occur_together() -> None:
    names = list(FACTORS)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            seen = {(getattr(case, first), getattr(case, second)) for case in PAIRS}
            assert seen == set(product(FACTORS[first], FACTORS[second]))


@pytest.mark.filterwarnings(NO_STEP, WORKERS)
@pytest.mark.parametrize(
    "case",
    [*PAIRS[:FAST], *(pytest.param(case, marks=pytest.mark.slow) for case in PAIRS[FAST:])],
    ids=str,
)
def test_pairs(case: Case, tmp_path: Path) -> None:
    with one_thread():
        assert_same_bits(train_all(case, tmp_path), case)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_the_recipe_for_short_runs(precision: str, tmp_path: Path) -> None:
    case = Case(model="fast_convnet", optimizer="muon", schedule="warmup_linear", precision=precision)
    with one_thread():
        assert_same_bits(train_all(case, tmp_path), case)


@pytest.mark.filterwarnings(NO_STEP)
def test_steps_that_overflow_are_skipped_by_all(tmp_path: Path) -> None:
    case = Case(precision="fp16", schedule="warmup_cosine", clip="norm", epochs=4)
    with one_thread():
        outcomes = train_all(case, tmp_path)
    assert_same_bits(outcomes, case)
    batches = len(outcomes[0].trace.entries)
    assert 0 < outcomes[0].trace.steps < batches == 20


def test_accumulation_with_a_moving_average(tmp_path: Path) -> None:
    case = Case(accumulate=3, ema=0.9, clip="value", schedule="plateau")
    with one_thread():
        assert_same_bits(train_all(case, tmp_path), case)


@pytest.mark.slow
@pytest.mark.parametrize("stopping", ["loss", "acc"])
def test_stopped_early_they_agree_on_the_epoch_and_the_best_weights(stopping: str, tmp_path: Path) -> None:
    case = Case(stopping=stopping, epochs=30)
    with one_thread():
        outcomes = train_all(case, tmp_path)
    assert_same_bits(outcomes, case)
    assert 2 <= len(outcomes[0].rows) - 1 < 30


def test_a_metric_that_is_not_finite_stops_all_at_once(tmp_path: Path) -> None:
    case = Case(stopping="loss", epochs=5, check_finite=False)
    with one_thread():
        reference, *others = train_all(case, tmp_path, change=grow)
    assert [first_difference(reference, other) for other in others] == [None, None]
    assert len(reference.rows) == 2  # an epoch and the test


def grow(experiment: Experiment) -> None:
    experiment.model.network[1].weight.data.mul_(1e38)  # type: ignore[union-attr,operator,index]  # the first layer


@pytest.mark.filterwarnings("ignore:Found 2 module.* in eval mode")
def test_modules_that_a_model_has_put_into_evaluation_mode_stay_there(tmp_path: Path) -> None:
    case = Case(model="resnet")
    with one_thread():
        outcomes = train_all(case, tmp_path, change=freeze)
    assert_same_bits(outcomes, case)
    assert outcomes[0].trace.entries[-1]["mode"] == ["network.1", "network.2"]


def freeze(experiment: Experiment) -> None:
    for name in ("network.1", "network.2"):
        experiment.model.get_submodule(name).eval()


@pytest.mark.slow
@pytest.mark.parametrize("loop", [HANDWRITTEN, AUTOMATIC])
def test_the_finite_check_changes_no_bit(loop: str, tmp_path: Path) -> None:
    case = Case(model="resnet", precision="bf16")
    with one_thread():
        on, off = (train(loop, replace(case, check_finite=check), tmp_path / str(check)) for check in (True, False))
    assert_same_bits([on, off], case)


@pytest.mark.slow
@pytest.mark.filterwarnings(NO_STEP, WORKERS)
@pytest.mark.parametrize("case", full_product(), ids=str)
def test_full_product(case: Case, tmp_path: Path) -> None:
    with one_thread():
        assert_same_bits(train_all(case, tmp_path), case)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.filterwarnings(NO_STEP, WORKERS)
@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_pairs_on_a_gpu(case: Case, tmp_path: Path) -> None:
    assert_same_bits(train_all(on("gpu", case), tmp_path), case)
