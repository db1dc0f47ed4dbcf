"""Every schedule and Muon with a stock Trainer and Lightning's own BoringModel."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from stock import QUIET, LoggingModel
from torch import nn
from torch.optim import SGD, lr_scheduler

from lamphouse.errors import InputError
from lamphouse.optim import (
    ConvMuon,
    OneCycle,
    ReduceLROnPlateau,
    WarmupCosineLR,
    WarmupLinearLR,
    optimizer_with_schedule,
    parameter_groups,
)


class Scheduled(LoggingModel):
    """Logs the metric `perplexity`."""

    def __init__(self, schedule: Callable[..., Any]) -> None:
        super().__init__()
        self.schedule = schedule

    def configure_optimizers(self) -> Any:
        optimizer = SGD(parameter_groups(self), lr=0.1, weight_decay=0.01)
        return optimizer_with_schedule(optimizer, self.schedule, lambda: self.trainer.estimated_stepping_batches)


SCHEDULES: dict[str, tuple[Callable[..., Any], int]] = {  # each with its steps in two epochs of four batches
    "one cycle": (OneCycle, 8),
    "warm-up and cosine": (WarmupCosineLR, 8),
    "warm-up and line": (WarmupLinearLR, 8),
    "torch's one cycle": (lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 1, 10), 8),
    "steps": (lambda optimizer: lr_scheduler.StepLR(optimizer, 1), 2),
    "plateau": (lambda optimizer: ReduceLROnPlateau(optimizer, "perplexity", patience=0, threshold=10), 2),
}


@pytest.mark.parametrize(("schedule", "steps"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_schedules(schedule: Callable[..., Any], steps: int) -> None:
    model = Scheduled(schedule)
    Trainer(**QUIET).fit(model)
    stepped: Any = model.lr_schedulers()
    assert stepped.last_epoch == steps
    if steps == 8 and not isinstance(stepped, lr_scheduler.OneCycleLR):
        assert stepped.get_last_lr() == pytest.approx([0, 0], abs=1e-12)  # at the end of the run


@pytest.mark.parametrize(
    ("options", "steps"),
    [({"accumulate_grad_batches": 3}, 4), ({"limit_train_batches": 2}, 4), ({"max_steps": 5}, 5)],
)
def test_a_schedule_knows_the_length_of_the_run(options: dict[str, int], steps: int) -> None:
    model = Scheduled(OneCycle)
    Trainer(**QUIET | options).fit(model)
    schedule: Any = model.lr_schedulers()
    assert (schedule.total_steps, schedule.last_epoch) == (steps, steps)


def test_a_run_without_end_has_no_length() -> None:
    with pytest.raises(InputError, match=r"--trainer.max_epochs -1: the schedule needs an end"):
        Trainer(**QUIET | {"max_epochs": -1}).fit(Scheduled(OneCycle))


def test_muon() -> None:
    class Convolutional(BoringModel):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Sequential(nn.Unflatten(1, (2, 16)), nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(56, 2))

        def configure_optimizers(self) -> Any:
            return ConvMuon(self.parameters(), lr=0.01, head_lr=1e-3, vector_lr=1e-3)

    torch.manual_seed(0)
    model = Convolutional()
    before = [parameter.clone() for parameter in model.parameters()]
    Trainer(**QUIET).fit(model)
    assert not any(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    assert model.layer[1].weight.norm().item() == pytest.approx(2, rel=0.5)  # the root of its rows
