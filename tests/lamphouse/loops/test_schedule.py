"""What `configure_optimizers` may return."""

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lamphouse.errors import InputError
from lamphouse.loops import LRSchedule, optimizer_and_schedule

PARAMETER = nn.Parameter(torch.zeros(1))
OPTIMIZER = SGD([PARAMETER], lr=1.0)
SCHEDULER = StepLR(OPTIMIZER, 1)
PLATEAU = ReduceLROnPlateau(OPTIMIZER, patience=0)


@pytest.mark.parametrize(
    ("configured", "schedule"),
    [
        (OPTIMIZER, LRSchedule()),
        ([OPTIMIZER], LRSchedule()),
        (({"optimizer": OPTIMIZER, "lr_scheduler": SCHEDULER},), LRSchedule(SCHEDULER)),
        ({"optimizer": OPTIMIZER}, LRSchedule()),
        (([OPTIMIZER], []), LRSchedule()),
        (([OPTIMIZER], [SCHEDULER]), LRSchedule(SCHEDULER)),
        (([OPTIMIZER], [{"scheduler": SCHEDULER, "interval": "step"}]), LRSchedule(SCHEDULER, "step")),
        ({"optimizer": OPTIMIZER, "lr_scheduler": SCHEDULER}, LRSchedule(SCHEDULER)),
        (
            {"optimizer": OPTIMIZER, "lr_scheduler": PLATEAU, "monitor": "val/loss"},
            LRSchedule(PLATEAU, monitor="val/loss"),
        ),
        (
            {"optimizer": OPTIMIZER, "lr_scheduler": {"scheduler": SCHEDULER, "frequency": 2, "name": "rate"}},
            LRSchedule(SCHEDULER, frequency=2),
        ),
    ],
)
def test_an_optimizer_and_at_most_one_scheduler(configured: object, schedule: LRSchedule) -> None:
    assert optimizer_and_schedule(lambda: configured) == (OPTIMIZER, schedule)


@pytest.mark.parametrize("configured", [None, [], [OPTIMIZER, OPTIMIZER], ([OPTIMIZER], [SCHEDULER, SCHEDULER]), "SGD"])
def test_anything_else_is_refused(configured: object) -> None:
    with pytest.raises(InputError, match="expected one optimizer with at most one scheduler: use --loop automatic"):
        optimizer_and_schedule(lambda: configured)


def test_the_number_of_steps_is_given_to_those_who_take_it() -> None:
    asked = []
    optimizer_and_schedule(lambda steps: asked.append(steps) or OPTIMIZER, 7)
    assert (asked, optimizer_and_schedule(lambda: OPTIMIZER, 7)) == ([7], (OPTIMIZER, LRSchedule()))


def test_it_is_due_at_its_interval_and_frequency() -> None:
    schedule = LRSchedule(SCHEDULER, "step", frequency=2)
    assert [schedule.due("step", number) for number in (1, 2, 3, 4)] == [False, True, False, True]
    assert not schedule.due("epoch", 2)
    assert not LRSchedule().due("epoch", 1)


def test_reduce_lr_on_plateau_is_stepped_with_its_metric() -> None:
    schedule = LRSchedule(ReduceLROnPlateau(SGD([PARAMETER], lr=1.0), patience=0), monitor="val/loss")
    for loss in (1.0, 2.0):
        schedule.step({"val/loss": torch.tensor(loss)})
    assert schedule.scheduler.optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("monitor", [None, "val/los"])
def test_reduce_lr_on_plateau_without_its_metric_is_refused(monitor: str | None) -> None:
    with pytest.raises(InputError, match=f"no metric {monitor} to monitor; there are val/loss"):
        LRSchedule(PLATEAU, monitor=monitor).step({"val/loss": torch.tensor(1.0)})
