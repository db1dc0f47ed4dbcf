"""Make the logger of a run by its name, begin it with the run's configuration, and close it."""

from collections.abc import Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger

from lamphouse.errors import InputError
from lamphouse.loggers import tensorboard, wandb
from lamphouse.loggers.guard import GuardedLogger

LoggerName = Literal["wandb", "tensorboard", "csv", "none"]
CLASSES: dict[str, type[Logger]] = {"tensorboard": TensorBoardLogger, "wandb": WandbLogger}
SUPPORT: dict[type[Logger], Any] = {TensorBoardLogger: tensorboard, WandbLogger: wandb}  # what each of them needs
RUN_DECIDES = ("dir", "experiment", "id", "name", "save_dir", "version")


def make_logger(
    name: LoggerName, run_dir: Path, experiment: str, options: Mapping[str, Any] | None = None
) -> GuardedLogger | None:
    """Make the logger that a run has beside its own table of metrics.

    Args:
        name: "csv" and "none" make none.
        run_dir: the run's directory.
        experiment: the experiment's name.
        options: arguments of Lightning's logger, and of what that passes them to.

    Raises:
        InputError: the logger does not have such an option, or its settings are wrong.
    """
    if name not in CLASSES:
        for option in options or {}:
            raise InputError(f"--logger_options.{option}: --logger {name} has no options: leave it out")
        return None
    cls = CLASSES[name]
    check_options(cls, options or {})
    arguments = SUPPORT[cls].arguments(run_dir, experiment, options or {})
    try:
        return GuardedLogger(cls(**arguments), arguments)
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"--logger {name}: {' '.join(str(error).split())}") from error


def check_options(cls: type[Logger], options: Mapping[str, Any]) -> None:
    """Check the names of options.

    Raises:
        InputError: there is no such option, or the run itself decides about it.
    """
    known = {*signature(cls).parameters, *SUPPORT[cls].further_options()} - {"kwargs", *RUN_DECIDES}
    for option, value in options.items():
        if option in RUN_DECIDES:
            raise InputError(f"--logger_options.{option} {value}: comes from the run's directory: leave it out")
        if option not in known:
            raise InputError(f"--logger_options.{option}: no such option; there are {', '.join(sorted(known))}")


def log_config(logger: Logger, config: dict[str, Any]) -> None:
    """Begin to log, with the whole configuration.

    Raises:
        InputError: the logger was given an option that it refuses.
    """
    if not isinstance(logger, GuardedLogger):
        logger.log_hyperparams(config)
        return
    try:
        support(logger).begin(logger, config)
    except InputError:
        raise
    except Exception as error:  # as in the guard
        logger.fail(error)


def close(loggers: Iterable[Logger]) -> None:
    """Close the guarded loggers, which may outlive their Trainer, and let them say where their record is."""
    for logger in loggers:
        if isinstance(logger, GuardedLogger):
            support(logger).close(logger)


class OtherLogger:
    """What any other logger needs."""

    @staticmethod
    def begin(logger: GuardedLogger, config: dict[str, Any]) -> None:
        """Log the configuration."""
        logger.wrapped.log_hyperparams(config)

    @staticmethod
    def close(logger: GuardedLogger) -> None:
        """Leave it to its `finalize`."""


def support(logger: GuardedLogger) -> Any:
    """Find what a logger needs by its class, or a class that it inherits from."""
    return next((own for cls, own in SUPPORT.items() if isinstance(logger.wrapped, cls)), OtherLogger)
