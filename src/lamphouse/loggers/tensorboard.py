"""What TensorBoard needs: silence of its writing thread, which prints the error that it hands on."""

import threading
from functools import partial
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers.logger import Logger

from lamphouse.runs.directory import Run


def place(logger: Namespace, run: Run, experiment: str) -> None:
    """Leave it where all loggers are."""


def log_config(logger: Logger, config: dict[str, Any]) -> None:
    """Begin to log, with the whole configuration."""
    threading.excepthook = partial(print_others, threading.excepthook)
    logger.log_hyperparams(config)


def print_others(before: Any, told: threading.ExceptHookArgs) -> None:
    """Have the errors of other threads printed as before."""
    if type(told.thread).__name__ != "_AsyncWriterThread":
        before(told)


def close(logger: Logger) -> None:  # noqa: ARG001  # which W&B needs
    """Have all errors printed again."""
    hook: Any = threading.excepthook
    if getattr(hook, "func", None) is print_others:
        (threading.excepthook,) = hook.args
