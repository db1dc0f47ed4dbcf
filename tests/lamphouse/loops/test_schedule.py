"""What `configure_optimizers` may return."""

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lamphouse.errors import InputError
from lamphouse.loops.schedule import Schedule, unpacked

PARAMETER = nn.Parameter(torch.zeros(1))
OPTIMIZER = SGD([PARAMETER], lr=1.0)
SCHEDULER = StepLR(OPTIMIZER, 1)
PLATEAU = ReduceLROnPlateau(OPTIMIZER, patience=0)


@pytest.mark.parametrize(
    ("configured", "schedule"),
    [
        (OPTIMIZER, Schedule()),
        ([OPTIMIZER], Schedule()),
        ({"optimizer": OPTIMIZER}, Schedule()),
        (([OPTIMIZER], []), Schedule()),
        (([OPTIMIZER], [SCHEDULER]), Schedule(SCHEDULER)),
        (([OPTIMIZER], [{"scheduler": SCHEDULER, "interval": "step"}]), Schedule(SCHEDULER, "step")),
        ({"optimizer": OPTIMIZER, "lr_scheduler": SCHEDULER}, Schedule(SCHEDULER)),
        (
            {"optimizer": OPTIMIZER, "lr_scheduler": PLATEAU, "monitor": "val/loss"},
            Schedule(PLATEAU, monitor="val/loss"),
        ),
        (
            {"optimizer": OPTIMIZER, "lr_scheduler": {"scheduler": SCHEDULER, "frequency": 2, "name": "rate"}},
            Schedule(SCHEDULER, frequency=2),
        ),
    ],
)
def test_an_optimizer_and_at_most_one_schedule(configured: object, schedule: Schedule) -> None:
    assert unpacked(configured) == (OPTIMIZER, schedule)


@pytest.mark.parametrize("configured", [None, [], [OPTIMIZER, OPTIMIZER], ([OPTIMIZER], [SCHEDULER, SCHEDULER]), "SGD"])
def test_anything_else_is_refused(configured: object) -> None:
    with pytest.raises(InputError, match="expected one optimizer with at most one schedule: use --loop automatic"):
        unpacked(configured)


def test_it_is_due_at_its_interval_and_frequency() -> None:
    schedule = Schedule(SCHEDULER, "step", frequency=2)
    assert [schedule.due("step", number) for number in (1, 2, 3, 4)] == [False, True, False, True]
    assert not schedule.due("epoch", 2)
    assert not Schedule().due("epoch", 1)


def test_a_plateau_goes_by_its_metric() -> None:
    schedule = Schedule(ReduceLROnPlateau(SGD([PARAMETER], lr=1.0), patience=0), monitor="val/loss")
    for loss in (1.0, 2.0):
        schedule.step({"val/loss": torch.tensor(loss)})
    assert schedule.scheduler.optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("monitor", [None, "val/los"])
def test_a_plateau_without_its_metric_is_refused(monitor: str | None) -> None:
    with pytest.raises(InputError, match=f"no metric {monitor} to monitor; there are val/loss"):
        Schedule(PLATEAU, monitor=monitor).step({"val/loss": torch.tensor(1.0)})
