"""TensorBoard: its writer thread prints the errors that it passes on to the logger, which are printed once instead."""

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lamphouse.loggers.guard import GuardedLogger

RUN_DECIDES = {"name", "save_dir", "version"}


def further_options() -> set[str]:
    """Name the options that TensorBoardLogger passes on to its SummaryWriter."""
    return {"comment", "purge_step", "max_queue", "flush_secs", "filename_suffix"}


def arguments(run_dir: Path, options: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG001  # as W&B's
    """Have it write into the run's directory, and no metric among its HPARAMS before one was measured."""
    return {"default_hp_metric": False, **options, "save_dir": str(run_dir), "name": "tensorboard", "version": ""}


def begin(logger: GuardedLogger, config: dict[str, Any], trainer: Any) -> None:  # noqa: ARG001  # as W&B's
    """Begin to log, with the whole configuration."""
    threading.excepthook = partial(_print_others, threading.excepthook)
    logger.wrapped.log_hyperparams(config)


def log_best(logger: GuardedLogger, config: dict[str, Any], best: Mapping[str, float]) -> None:
    """Show the metrics of the best epoch among the HPARAMS."""
    logger.wrapped.log_hyperparams(config, best)
    logger.wrapped.finalize("success")  # writes them, as nothing else does after training


def _print_others(before: Any, raised: threading.ExceptHookArgs) -> None:
    if type(raised.thread).__name__ != "_AsyncWriterThread":
        before(raised)


def close(logger: GuardedLogger) -> None:  # noqa: ARG001  # as W&B's
    """Have all errors printed again."""
    hook: Any = threading.excepthook
    if getattr(hook, "func", None) is _print_others:
        (threading.excepthook,) = hook.args
