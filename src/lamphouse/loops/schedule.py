"""What `configure_optimizers` returns, read without a Trainer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lamphouse.errors import InputError, unsupported


@dataclass(frozen=True)
class LRSchedule:
    """A learning-rate scheduler, and when to step it."""

    scheduler: Any = None  # torch's; None keeps the learning rate constant
    interval: str = "epoch"  # or "step"
    frequency: int = 1  # of the intervals, after every so many
    monitor: str | None = None  # metric that ReduceLROnPlateau is stepped with
    reduce_on_plateau: bool = False  # whether it is another scheduler that is stepped with a metric

    def due(self, interval: str, number: int) -> bool:
        """Return whether to step it after this batch of an epoch or this epoch, counted from 1."""
        return self.scheduler is not None and self.interval == interval and number % self.frequency == 0

    def metric(self, metrics: Mapping[str, Tensor]) -> Tensor | None:
        """Return the metric to step it with, None for schedulers that take none."""
        if not isinstance(self.scheduler, ReduceLROnPlateau) and not self.reduce_on_plateau:
            return None
        if self.monitor is None or self.monitor not in metrics:
            raise InputError(f"lr_scheduler: no metric {self.monitor} to monitor; there are {', '.join(metrics)}")
        return metrics[self.monitor]

    def step(self, metrics: Mapping[str, Tensor] | None = None) -> None:
        metric = self.metric(metrics or {})
        self.scheduler.step() if metric is None else self.scheduler.step(metric)


def optimizer_and_schedule(configure: Callable[..., Any], *total_steps: int) -> tuple[Optimizer, LRSchedule]:
    """Call `configure_optimizers`, with the steps of the run if it takes them, and read what it returns.

    Raises:
        InputError: it is not one optimizer with at most one scheduler.
    """
    configured = configure(*total_steps[: len(signature(configure).parameters)])
    while isinstance(configured, list | tuple) and len(configured) == 1:
        configured = configured[0]
    scheduler: Any = None
    monitor = None
    match configured:
        case (Optimizer() as optimizer) | [[Optimizer() as optimizer], []]:
            pass
        case {"optimizer": Optimizer() as optimizer, **others}:
            scheduler, monitor = others.get("lr_scheduler"), others.get("monitor")
        case [[Optimizer() as optimizer], [scheduler]]:
            pass
        case _:
            raise unsupported("configure_optimizers: expected one optimizer with at most one scheduler")
    if not isinstance(scheduler, Mapping):
        scheduler = {"scheduler": scheduler, "monitor": monitor}
    return optimizer, LRSchedule(**{name: scheduler[name] for name in LRSchedule.__match_args__ if name in scheduler})
