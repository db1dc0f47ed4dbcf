"""Loggers that end no run: the first failure of one is told in a line, and from then on it is silent."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from lightning.pytorch.loggers.logger import DummyLogger, Logger

METHODS = ("after_save_checkpoint", "finalize", "log_graph", "log_hyperparams", "log_metrics", "save")


def guard(logger: Logger) -> None:
    """Guard a logger, in place: its class gets a subclass of the same name, whose methods do not raise."""
    own: Any = type(logger)
    guarded: dict[str, Any] = {name: spared(getattr(own, name)) for name in METHODS}
    if hasattr(own, "experiment"):  # Lightning asks for it at the start of each fit
        guarded["experiment"] = property(spared(own.experiment.fget, DummyLogger().experiment))
    place = {"__module__": __name__, "__qualname__": f"guard.<locals>.{own.__name__}"}  # no option's second choice
    logger.__class__ = type(own.__name__, (own,), {**guarded, **place, "failed": False})


def spared(method: Callable[..., Any], otherwise: Any = None) -> Callable[..., Any]:
    """Have a method of a logger return something else where it fails, or where the logger has failed before."""

    @wraps(method)
    def call(logger: Any, *args: Any, **kwargs: Any) -> Any:
        if not logger.failed:
            try:
                return method(logger, *args, **kwargs)
            except Exception as error:  # whatever it is, training does not depend on it
                fail(logger, error)
        return otherwise

    return call


def fail(logger: Any, error: BaseException) -> None:
    """Give up a guarded logger and say so, once."""
    if not logger.failed:
        logger.failed = True
        warn(logger, error, "the run goes on without it, and has all metrics in its metrics.csv")


def warn(logger: Logger, error: BaseException, consequence: str) -> None:
    """Print what a logger's error means for the run, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    first, *_ = str(error).splitlines() or [type(error).__name__]
    print(f"warning: {type(logger).__name__}: {first}: {consequence}", file=sys.stderr, flush=True)
