"""The three loops compute the same bits, whatever is asked of them."""

from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from allpairspy import AllPairs
from cases import AUTOMATIC, FACTORS, HANDWRITTEN, MANUAL, Case, on, one_thread, train, train_all

from lamphouse.loops.parity import Outcome, first_difference

PAIRS = [Case(*values) for values in AllPairs(list(FACTORS.values()))]
DRAWN = {
    "model": [*FACTORS["model"][:1] * 4, *FACTORS["model"]],
    "stopping": FACTORS["stopping"],
}  # in the full product of the others
NO_STEP = "ignore:Detected call of `lr_scheduler.step..` before `optimizer.step:UserWarning"  # the first one overflowed
WORKERS = "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"  # of Python 3.12, for loaders


def full_product() -> list[Case]:
    names = [name for name in FACTORS if name not in (*DRAWN, "workers")]  # processes are slow to start
    combinations = [dict(zip(names, values, strict=True)) for values in product(*(FACTORS[name] for name in names))]
    draw = Random(0)  # noqa: S311  # the same in every run
    return [Case(**values, **{name: draw.choice(some) for name, some in DRAWN.items()}) for values in combinations]


def assert_same_bits(outcomes: list[Outcome], case: Case) -> None:
    reference, *others = outcomes
    for other in others:
        assert first_difference(reference, other) is None, f"{other.loop}, {case}"
        assert other.trace.losses() == reference.trace.losses()
        for mine, yours in ((reference.last, other.last), (reference.best, other.best)):
            assert mine.keys() == yours.keys()
            assert all(torch.equal(mine[name], yours[name]) for name in mine)


def test_every_two_values_occur_together() -> None:
    names = list(FACTORS)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            seen = {(getattr(case, first), getattr(case, second)) for case in PAIRS}
            assert seen == set(product(FACTORS[first], FACTORS[second]))


@pytest.mark.filterwarnings(NO_STEP, WORKERS)
@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_pairs(case: Case, tmp_path: Path) -> None:
    with one_thread():
        assert_same_bits(train_all(case, tmp_path), case)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_recipe_for_short_runs(precision: str, tmp_path: Path) -> None:
    case = Case(model="fast_resnet", optimizer="muon", schedule="warmup_linear", precision=precision)
    with one_thread():
        assert_same_bits(train_all(case, tmp_path), case)


@pytest.mark.filterwarnings(NO_STEP)
def test_steps_that_overflow_are_skipped_by_all(tmp_path: Path) -> None:
    case = Case(precision="fp16", schedule="warmup_cosine", epochs=4)
    with one_thread():
        outcomes = train_all(case, tmp_path)
    assert_same_bits(outcomes, case)
    batches = len(outcomes[0].trace.entries)
    assert 0 < outcomes[0].trace.steps < batches == 20


@pytest.mark.parametrize("stopping", ["loss", "acc"])
def test_stopped_early_they_agree_on_the_epoch_and_the_best_weights(stopping: str, tmp_path: Path) -> None:
    case = Case(stopping=stopping, epochs=30)
    with one_thread():
        outcomes = train_all(case, tmp_path)
    assert_same_bits(outcomes, case)
    reference, epochs = outcomes[0], len(outcomes[0].rows) - 1
    assert 2 <= epochs < 30
    assert any(not torch.equal(reference.best[name], reference.last[name]) for name in reference.last)


def test_a_number_that_is_not_finite_stops_all_at_once(tmp_path: Path) -> None:
    case = Case(stopping="loss", epochs=5, check_finite=False)
    with one_thread():
        reference, *others = (train(loop, case, tmp_path, change=grow) for loop in (HANDWRITTEN, MANUAL, AUTOMATIC))
    assert [first_difference(reference, other) for other in others] == [None, None]
    assert len(reference.rows) == 2  # an epoch and the test


def grow(experiment: Any) -> None:
    experiment.model.network[1].weight.data.mul_(1e38)


@pytest.mark.filterwarnings("ignore:Found 2 module.* in eval mode")
def test_modules_that_a_model_has_put_into_evaluation_mode_stay_there(tmp_path: Path) -> None:
    case = Case(model="resnet")
    with one_thread():
        outcomes = [train(loop, case, tmp_path, change=freeze) for loop in (HANDWRITTEN, MANUAL, AUTOMATIC)]
    assert_same_bits(outcomes, case)
    assert outcomes[0].trace.entries[-1]["mode"] == ["network.1", "network.2"]


def freeze(experiment: Any) -> None:
    for module in (experiment.model.network[1], experiment.model.network[2]):
        module.eval()


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
