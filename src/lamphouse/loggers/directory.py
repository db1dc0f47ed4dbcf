"""What all loggers have in common."""

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers.logger import Logger

from lamphouse.errors import InputError
from lamphouse.loggers.guard import fail, guard
from lamphouse.runs.directory import Run


def place(logger: Namespace, run: Run, experiment: str) -> None:
    """Have a configured logger write into the run's directory."""
    logger.init_args.save_dir = str(run.path)
    own = own_module(logger.class_path)
    if own:
        own.place(logger, run, experiment)


def log_config(logger: Logger, config: dict[str, Any]) -> None:
    """Begin to log, with the whole configuration; from then on, no failure of the logger ends the run.

    Raises:
        InputError: the logger was given an option that it refuses.
    """
    own, log = own_module(type(logger).__name__), type(logger).log_hyperparams
    failure = None
    try:
        (own.log_config if own else log)(logger, config)
    except InputError:
        raise
    except Exception as error:  # as in guard
        failure = error
    guard(logger)
    if failure:
        fail(logger, failure)


def close(loggers: Iterable[Logger]) -> None:
    """Close the loggers that outlive their Trainer, and let them say where their record is."""
    for logger in loggers:
        own = own_module(type(logger).__name__)
        if own:
            own.close(logger)


def own_module(class_path: str) -> Any:
    """Import what is special about a class of loggers: for a `NameLogger`, the module `name` beside this one."""
    name = f"{__package__}.{class_path.rpartition('.')[2].removesuffix('Logger').lower()}"
    return import_module(name) if find_spec(name) else None
