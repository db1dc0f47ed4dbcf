"""TensorBoard: its writer thread prints the errors that it passes on to the logger, which are printed once instead."""

import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from lamphouse.checkpoints.files import saved_steps
from lamphouse.loggers.guard import GuardedLogger

RUN_DECIDES = {"name", "save_dir", "version"}


def further_options() -> set[str]:
    """Name the options that TensorBoardLogger passes on to its SummaryWriter."""
    return {"comment", "purge_step", "max_queue", "flush_secs", "filename_suffix"}


def arguments(run_dir: Path, options: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG001  # as W&B's
    """Have it write into the run's directory, and no metric among its HPARAMS before one was measured."""
    own = {"default_hp_metric": False, "purge_step": saved_steps(run_dir) or None}  # what follows is logged again
    return {**own, **options, "save_dir": str(run_dir), "name": "tensorboard", "version": ""}


def begin(logger: GuardedLogger, config: dict[str, Any], trainer: Any) -> None:  # noqa: ARG001  # as W&B's
    """Begin to log, with the whole configuration."""
    threading.excepthook = partial(_print_others, threading.excepthook)
    logger.wrapped.log_hyperparams(config)


def log_best(logger: GuardedLogger, config: Callable[[], dict[str, Any]], best: Mapping[str, float]) -> None:
    """Show the metrics of the best epoch among the HPARAMS."""
    logger.wrapped.log_hyperparams(config(), best)
    logger.wrapped.finalize("success")  # writes them, as nothing else does after training


def log_pictures(
    logger: GuardedLogger,
    images: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    graph: tuple[nn.Module, Tensor] | None,
    step: int,
) -> None:
    """Show images and the graph of the network, and tables, without images, as text."""
    writer = logger.experiment
    for title, image in images.items():
        writer.add_image(f"pictures/{title}", np.asarray(image.convert("RGB")), step, dataformats="HWC")
    for title, rows in tables.items():
        names = [name for name in rows[0] if name != "image"]
        cells = [names, ["---"] * len(names), *([_cell(row[name]) for name in names] for row in rows)]
        writer.add_text(f"pictures/{title}", "\n".join(f"| {' | '.join(line)} |" for line in cells), step)
    if graph:
        try:
            with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()):  # it prints why it cannot
                writer.add_graph(*graph)
        except Exception as error:  # the tracer does not know every network
            print(f"note: TensorBoard has no graph of this network: {str(error).splitlines()[0]}", file=sys.stderr)
    writer.flush()


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _print_others(before: Any, raised: threading.ExceptHookArgs) -> None:
    if type(raised.thread).__name__ != "_AsyncWriterThread":
        before(raised)


def close(logger: GuardedLogger) -> None:  # noqa: ARG001  # as W&B's
    """Have all errors printed again."""
    hook: Any = threading.excepthook
    if getattr(hook, "func", None) is _print_others:
        (threading.excepthook,) = hook.args
