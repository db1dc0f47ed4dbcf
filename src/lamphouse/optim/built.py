"""Optimizers and schedules from options."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.optim import Optimizer

from lamphouse.errors import InputError
from lamphouse.optim.schedules import BY_STEP, ReduceLROnPlateau, RunLengthLR, Schedule


def built(option: str, build: Callable[..., Any], *args: Any) -> Any:
    """Call what was configured by an option of the model.

    Raises:
        InputError: it refuses its own options.
    """
    try:
        return build(*args)
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"--model.{option}: {error}; see --help for its options") from error


def scheduled(
    optimizer: Optimizer, build: Callable[[Optimizer], Schedule], steps: Callable[[], float]
) -> OptimizerLRSchedulerConfig:
    """Build a schedule for an optimizer, and tell Lightning what it goes by.

    Args:
        optimizer: what it is for.
        build: makes it.
        steps: counts those of the whole run; asked only where the schedule depends on it.

    Raises:
        InputError: it refuses its options, or needs an end where the run has none.
    """
    scheduler = built("lr_scheduler", build, optimizer)
    if isinstance(scheduler, RunLengthLR):
        scheduler.total_steps = _finite(steps())
    interval = "step" if isinstance(scheduler, BY_STEP) else "epoch"
    monitor = scheduler.monitor if isinstance(scheduler, ReduceLROnPlateau) else "val/loss"
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": scheduler, "interval": interval, "monitor": monitor},
    }


def _finite(steps: float) -> int:
    if steps == float("inf"):
        raise InputError("--trainer.max_epochs -1: the schedule needs an end: set --trainer.max_steps, or epochs")
    return int(steps)
