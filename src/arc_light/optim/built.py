"""Optimizers and schedules from options."""

from collections.abc import Callable
from typing import Any

from arc_light.errors import InputError


def built(option: str, build: Callable[..., Any], *args: Any) -> Any:
    """Call what was configured by an option of the model.

    Raises:
        InputError: it refuses its own options.
    """
    try:
        return build(*args)
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"--model.{option}: {error}; see --help for its options") from error


def finite(steps: float) -> int:
    """Return the number of steps of a run that has one.

    Raises:
        InputError: it has none.
    """
    if steps == float("inf"):
        raise InputError("--trainer.max_epochs -1: the schedule needs an end: set --trainer.max_steps, or epochs")
    return int(steps)
