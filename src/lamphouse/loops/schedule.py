"""What `configure_optimizers` returns, read without a Trainer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lamphouse.errors import InputError


@dataclass(frozen=True)
class LRSchedule:
    """A learning-rate scheduler, and when to step it."""

    scheduler: Any = None  # torch's; None keeps the learning rate constant
    interval: str = "epoch"  # or "step"
    frequency: int = 1  # of the intervals, after every so many
    monitor: str | None = None  # metric that ReduceLROnPlateau is stepped with

    def due(self, interval: str, number: int) -> bool:
        """Return whether to step it after this batch of an epoch or this epoch, counted from 1."""
        return self.scheduler is not None and self.interval == interval and number % self.frequency == 0

    def metric(self, metrics: Mapping[str, Tensor]) -> Tensor | None:
        """Return the metric to step it with, None for schedulers that take none."""
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            return None
        if self.monitor is None or self.monitor not in metrics:
            raise InputError(f"lr_scheduler: no metric {self.monitor} to monitor; there are {', '.join(metrics)}")
        return metrics[self.monitor]

    def step(self, metrics: Mapping[str, Tensor] | None = None) -> None:
        metric = self.metric(metrics or {})
        self.scheduler.step() if metric is None else self.scheduler.step(metric)


def optimizer_and_schedule(configured: Any) -> tuple[Optimizer, LRSchedule]:
    """Read what `configure_optimizers` returned: one optimizer with at most one scheduler, or an InputError."""
    scheduler: Any = None
    monitor = None
    match configured:
        case (Optimizer() as optimizer) | [Optimizer() as optimizer] | [[optimizer], []]:
            pass
        case {"optimizer": optimizer, **others}:
            scheduler, monitor = others.get("lr_scheduler"), others.get("monitor")
        case [[optimizer], [scheduler]]:
            pass
        case _:
            expected = "expected one optimizer with at most one scheduler"
            raise InputError(f"configure_optimizers: {expected}: use --loop automatic")
    if not isinstance(scheduler, Mapping):
        scheduler = {"scheduler": scheduler, "monitor": monitor}
    return optimizer, LRSchedule(**{name: scheduler[name] for name in LRSchedule.__match_args__ if name in scheduler})
