"""Make the logger of a run by its name, begin it with the run's configuration, and close it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger
from torch import Tensor, nn

from lamphouse.errors import InputError
from lamphouse.loggers.guard import GuardedLogger

LoggerName = Literal["wandb", "tensorboard", "csv", "none"]
CLASSES: dict[str, type[Logger]] = {"tensorboard": TensorBoardLogger, "wandb": WandbLogger}  # also names of modules


def make_logger(
    name: LoggerName, run_dir: Path, experiment: str, options: Mapping[str, Any] | None = None, project: str = ""
) -> GuardedLogger | None:
    """Make the logger that a run has beside its own table of metrics; "csv" and "none" make none.

    The `options` are arguments of Lightning's logger, and of what it passes them to; W&B's environment variables stand
    for those that are not given, and `experiment` and `project` for the group and the project if neither is.

    Raises:
        InputError: there is no such option, or the logger's settings are wrong.
    """
    options, known_class = options or {}, CLASSES.get(name)
    support: Any = _support(known_class) if known_class else None
    cls = getattr(support, "LOGGER", known_class)
    decided = support.RUN_DECIDES if cls else set()
    known = {*signature(cls).parameters, *support.further_options()} - {"kwargs", *decided} if cls else set()
    for option, value in options.items():
        if option in decided:
            raise InputError(f"--logger_options.{option} {value}: comes from the run's directory: leave it out")
        if option not in known:
            choice = f"there are {', '.join(sorted(known))}" if known else f"--logger {name} has none"
            raise InputError(f"--logger_options.{option}: no such option; {choice}")
    if cls is None:
        return None
    arguments = support.arguments(run_dir, options, {"group": experiment, "project": project})
    try:
        return GuardedLogger(cls(**arguments), arguments)
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"--logger {name}: {' '.join(str(error).split())}") from error


def log_config(logger: Logger, config: dict[str, Any], trainer: Any = None) -> None:
    """Begin to log, with the whole configuration; the Trainer is for loops that do not call `log_graph`.

    Raises:
        InputError: the logger was given an option that it refuses.
    """
    if isinstance(logger, GuardedLogger) and (support := _support(type(logger.wrapped))):
        logger.attempt(lambda: support.begin(logger, config, trainer))
    else:
        logger.log_hyperparams(config)


def log_best(loggers: Iterable[Logger], config: Callable[[], dict[str, Any]], metrics: Mapping[str, Any]) -> None:
    """Log the metrics of the best epoch: in W&B's summary, and with the configuration among TensorBoard's HPARAMS."""
    best = {f"best/{name}": value for name, value in metrics.items() if "/" in name or name == "epoch"}
    for logger in loggers:
        if isinstance(logger, GuardedLogger) and (support := _support(type(logger.wrapped))):
            logger.attempt(partial(support.log_best, logger, config, best))


def log_pictures(
    loggers: Iterable[Logger],
    images: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    graph: tuple[nn.Module, Tensor] | None,
    step: int,
) -> None:
    """Log images of Pillow's by title, tables, whose cells may be images, and a network with inputs to trace it by."""
    for logger in loggers:
        if isinstance(logger, GuardedLogger) and (support := _support(type(logger.wrapped))):
            logger.attempt(partial(support.log_pictures, logger, images, tables, graph, step))


def close(loggers: Iterable[Logger]) -> None:
    """Close the guarded loggers that outlive their Trainer, and let them say where their record is."""
    for logger in loggers:
        if isinstance(logger, GuardedLogger) and (support := _support(type(logger.wrapped))):
            support.close(logger)


def wandb_support() -> Any:
    """Import what uploads to W&B and fetches from there.

    Raises:
        InputError: W&B is not installed.
    """
    try:
        return import_module("lamphouse.loggers.wandb")
    except ImportError as error:
        raise InputError("W&B is not installed: pip install wandb") from error


def _support(cls: type[Logger]) -> Any:
    name = next((name for name, known in CLASSES.items() if issubclass(cls, known)), None)
    return name and import_module(f"lamphouse.loggers.{name}")
