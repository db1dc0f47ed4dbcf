"""Schedules against closed formulas and, where they coincide, against torch's."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from lamphouse.optim import OneCycle, RunLengthLR, WarmupCosineLR, WarmupLinearLR

LR = 0.4


def optimizer(lr: float = LR) -> SGD:
    return SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def rates(make: Callable[[Optimizer], LRScheduler], steps: int, total_steps: int | None = None) -> list[float]:
    """Step through a run, and return the rate of each step."""
    sgd = optimizer()
    schedule = make(sgd)
    if isinstance(schedule, RunLengthLR):
        schedule.total_steps = total_steps or steps
    return [advance(sgd, schedule) for _ in range(steps)]


def advance(sgd: Optimizer, schedule: LRScheduler) -> float:
    rate = float(sgd.param_groups[0]["lr"])
    sgd.step()
    schedule.step()
    return rate


def closed(rise: Callable[[float], float], warmup: float, final: float, progress: float) -> float:
    if progress < warmup:
        return LR * rise(progress / warmup)
    done = (progress - warmup) / (1 - warmup)
    return LR * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))


@pytest.mark.parametrize("options", [{}, {"warmup": 0.5, "initial": 0.2, "final": 0.1}, {"warmup": 0.0}])
@pytest.mark.parametrize("total", [1, 2, 7, 40])
def test_warmup_and_cosine(options: dict[str, float], total: int) -> None:
    defaults = {"warmup": 0.05, "initial": 0.01, "final": 0.0, **options}
    initial = defaults.pop("initial")
    expected = [closed(lambda x: initial + (1 - initial) * x, progress=i / total, **defaults) for i in range(total)]
    assert rates(lambda sgd: WarmupCosineLR(sgd, **options), total) == pytest.approx(expected)


def test_warmup_and_a_line() -> None:
    made = rates(lambda sgd: WarmupLinearLR(sgd, warmup=0.5, initial=0.2, final=0.1), 8)
    assert made == pytest.approx([LR * factor for factor in (0.2, 0.4, 0.6, 0.8, 1.0, 0.775, 0.55, 0.325)])


@pytest.mark.parametrize("options", [{}, {"warmup": 0.5, "initial": 0.2, "final": 0.1}])
@pytest.mark.parametrize("total", [1, 2, 7, 40])
def test_one_cycle(options: dict[str, float], total: int) -> None:
    defaults = {"warmup": 0.3, "initial": 0.04, "final": 0.0, **options}
    initial = defaults.pop("initial")

    def rise(x: float) -> float:
        return initial + (1 - initial) * 0.5 * (1 - math.cos(math.pi * x))

    expected = [closed(rise, progress=i / total, **defaults) for i in range(total)]
    assert rates(lambda sgd: OneCycle(sgd, **options), total) == pytest.approx(expected)


@pytest.mark.parametrize("final", [0.0, 0.25])
def test_without_warmup_it_is_torchs_cosine(final: float) -> None:
    ours = rates(lambda sgd: WarmupCosineLR(sgd, warmup=0.0, final=final), 30)
    assert ours == pytest.approx(rates(lambda sgd: CosineAnnealingLR(sgd, 30, eta_min=final * LR), 30))


def test_one_cycle_has_the_points_of_torchs() -> None:
    """Torch reaches the final rate in the last step, ours after it: n + 1 of its steps are n of ours."""
    ours = rates(lambda sgd: OneCycle(sgd, warmup=0.3, initial=0.04), 40)

    def torchs(sgd: Optimizer) -> LRScheduler:
        pct_start = (0.3 * 40 + 1) / 41  # its warm-up ends a step early
        return OneCycleLR(sgd, LR, 41, pct_start=pct_start, final_div_factor=1e12, cycle_momentum=False)

    assert ours == pytest.approx(rates(torchs, 40), abs=1e-9)


@pytest.mark.parametrize("schedule", [WarmupCosineLR, OneCycle])
def test_extremes(schedule: type[RunLengthLR]) -> None:
    only_up = rates(lambda sgd: schedule(sgd, warmup=1.0, initial=0.0), 10)
    assert only_up == sorted(only_up)
    assert only_up[0] == 0
    assert max(only_up) < LR
    beyond = rates(schedule, 15, total_steps=10)
    assert beyond[10:] == [0.0] * 5  # past the end, the last rate stays
    assert all(0 <= rate <= LR for rate in beyond)


@pytest.mark.parametrize("schedule", [WarmupCosineLR, OneCycle])
def test_every_group_keeps_its_own_rate(schedule: type[RunLengthLR]) -> None:
    first, second = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    sgd = SGD([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.5}], lr=1)
    curve = schedule(sgd)
    curve.total_steps = 10
    for _ in range(10):
        assert sgd.param_groups[1]["lr"] == pytest.approx(5 * sgd.param_groups[0]["lr"])
        advance(sgd, curve)


@pytest.mark.parametrize("schedule", [WarmupCosineLR, OneCycle])
@pytest.mark.parametrize("total", [10, 25])
def test_a_resumed_run_follows_the_curve_of_its_new_length(schedule: type[RunLengthLR], total: int) -> None:
    sgd = optimizer()
    before = schedule(sgd)
    before.total_steps = 10
    for _ in range(6):
        advance(sgd, before)
    state, sgd_state = before.state_dict(), sgd.state_dict()

    sgd = optimizer()
    after = schedule(sgd)
    after.total_steps = total
    sgd.load_state_dict(sgd_state)
    after.load_state_dict(state)
    advance(sgd, after)  # the rate of this one was stored
    assert [advance(sgd, after) for _ in range(7, total)] == pytest.approx(rates(schedule, total)[7:])


@pytest.mark.parametrize("schedule", [WarmupCosineLR, OneCycle])
def test_the_state_has_plain_types(schedule: type[RunLengthLR]) -> None:
    state: dict[str, Any] = schedule(optimizer()).state_dict()
    assert "total_steps" not in state
    values = [item for value in state.values() for item in (value if isinstance(value, list) else [value])]
    assert {type(value) for value in values} <= {int, float, bool, type(None)}
