"""What `configure_optimizers` returns, read without a Trainer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lamphouse.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule and when it goes on.

    Args:
        scheduler: one of torch's, or None for a constant rate.
        interval: "step" or "epoch".
        frequency: every how many of them.
        monitor: metric that a ReduceLROnPlateau looks at.
    """

    scheduler: Any = None
    interval: str = "epoch"
    frequency: int = 1
    monitor: str | None = None

    @property
    def on_plateau(self) -> bool:
        """Say whether it goes by a metric."""
        return isinstance(self.scheduler, ReduceLROnPlateau)

    def due(self, interval: str, number: int) -> bool:
        """Say whether it goes on after the epoch's batch or the run's epoch of this number, counted from 1."""
        return self.scheduler is not None and self.interval == interval and number % self.frequency == 0

    def metric(self, metrics: Mapping[str, Tensor]) -> Tensor | None:
        """Look up the metric that it goes by, if it does.

        Raises:
            InputError: there is no such metric.
        """
        if not self.on_plateau:
            return None
        if self.monitor is None or self.monitor not in metrics:
            raise InputError(f"lr_scheduler: no metric {self.monitor} to monitor; there are {', '.join(metrics)}")
        return metrics[self.monitor]

    def step(self, metrics: Mapping[str, Tensor] | None = None) -> None:
        """Go on, by the epoch's metrics if need be."""
        metric = self.metric(metrics or {})
        self.scheduler.step() if metric is None else self.scheduler.step(metric)


def unpacked(configured: Any) -> tuple[Optimizer, Schedule]:
    """Read what `configure_optimizers` returned: an optimizer, and a schedule with its options or neither.

    Raises:
        InputError: it is not one optimizer with at most one schedule.
    """
    optimizer, options = optimizer_and_options(configured)
    return optimizer, Schedule(**{name: value for name, value in options.items() if name in Schedule.__match_args__})


def optimizer_and_options(configured: Any) -> tuple[Optimizer, dict[Any, Any]]:
    """Take apart what `configure_optimizers` returned: an optimizer, and the options of a schedule, if there is one.

    Raises:
        InputError: it is not one optimizer with at most one schedule.
    """
    match configured:
        case Optimizer() as optimizer:
            return optimizer, {}
        case {"optimizer": optimizer, "lr_scheduler": {**options}}:
            return optimizer, options
        case {"optimizer": optimizer, "lr_scheduler": scheduler}:
            return optimizer, {"scheduler": scheduler, "monitor": configured.get("monitor")}
        case {"optimizer": optimizer} | [Optimizer() as optimizer] | [[optimizer], []]:
            return optimizer, {}
        case [[optimizer], [{**options}]]:
            return optimizer, options
        case [[optimizer], [scheduler]]:
            return optimizer, {"scheduler": scheduler}
    raise InputError("configure_optimizers: expected one optimizer with at most one schedule: use --loop automatic")
