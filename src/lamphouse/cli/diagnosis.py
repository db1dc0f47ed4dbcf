"""Explain a training that ended in infinite numbers or nan, in a callback, or in restoring a checkpoint."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from traceback import extract_tb, walk_tb
from typing import Any

import torch
from lightning.pytorch import callbacks
from lightning.pytorch.loops import progress
from lightning.pytorch.trainer.connectors import checkpoint_connector

from lamphouse.callbacks import Position
from lamphouse.checkpoints.files import saved_steps
from lamphouse.cli.experiment import Experiment
from lamphouse.data import BatchSampler, TensorDataModule
from lamphouse.errors import InputError, NotFiniteError, short_path
from lamphouse.files import write_whole

MOST_NAMED = 4  # samples in the error itself; more are listed in a file
ADVICE = (
    "try a smaller learning rate, check the preprocessing and the loss, clip gradients (--trainer.gradient_clip_val 1) "
    "or use --trainer.precision 32-true"
)
READERS = ("resume_start", "restore", "_restore")  # how the functions of Lightning's that restore are named
FINDER = "-c configs/debug/anomaly.yaml names the operation"


@contextmanager
def explaining_not_finite(experiment: Experiment) -> Iterator[None]:
    """Add to a `NotFiniteError` the samples of the batch, what to try, and the checkpoint to continue from."""
    try:
        with _naming_operation(experiment):
            yield
    except NotFiniteError as error:
        parts = [str(error), _named_samples(experiment, error.position) if error.position else ""]
        if experiment.trainer.is_global_zero:
            steps, last = saved_steps(experiment.run.path), short_path(experiment.run.last)
            kept = f"{last} is from before, with {steps} steps" if steps else "nothing was learned yet"
            parts += [ADVICE, "" if experiment.config.trainer.detect_anomaly else FINDER, kept]
        raise NotFiniteError("; ".join(filter(None, parts)), error.position) from error


@contextmanager
def _naming_operation(experiment: Experiment) -> Iterator[None]:
    mode = torch.autograd.set_detect_anomaly(experiment.config.trainer.detect_anomaly)  # of any loop
    try:
        with mode:
            yield
    except RuntimeError as error:  # torch has printed where the operation was called
        if "returned nan values" not in str(error):
            raise
        position = experiment.finite.position
        raise NotFiniteError(f"a gradient is nan {position}: {error}", position) from error


def _named_samples(experiment: Experiment, position: Position) -> str:
    data = experiment.datamodule
    loader: Any = experiment.trainer.train_dataloader or data.train_dataloader()
    sampler = getattr(loader, "sampler", None) if isinstance(data, TensorDataModule) else None
    if not isinstance(sampler, BatchSampler):
        return ""  # another DataLoader, whose order is not known
    sampler.set_epoch(position.epoch)
    _, batch = next(islice(sampler, position.batch - sampler.number, None))
    rows = data.parts["train"].rows
    batch = batch.cpu() if rows is None else rows[batch.cpu()]  # indices of what `load` returned
    text = f"training samples {', '.join(map(str, batch[:MOST_NAMED].tolist()))}"
    if len(batch) <= MOST_NAMED:
        return text
    if not experiment.trainer.is_global_zero:
        return f"{text} …"
    path = experiment.run.path / "not_finite.json"
    described = {**position._asdict(), "lr": float(position.lr), "training_samples": batch.tolist()}
    write_whole(path, json.dumps(described) + "\n")
    return f"{text} … (all in {short_path(path)})"


def explain_part(error: Exception) -> str | None:
    """Name the callback of Lightning's within which an error was raised, not by a user's code; None if none was."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if not frames[-1].f_globals.get("__name__", "").startswith(("lightning.", "torch.")):
        return None
    owners = (type(frame.f_locals.get("self")) for frame in reversed(frames))
    names = (kind.__name__ for kind in owners if kind.__module__.startswith(callbacks.__name__))
    message = " ".join(str(error).split()) or type(error).__name__
    return next((f"--trainer.callbacks {name}: {message}" for name in names), None)


@contextmanager
def loading(path: Path | str | None) -> Iterator[None]:
    """Attribute errors of Lightning's restoring to the checkpoint, which then does not fit the run."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if path is not None and raised_restoring(error):
            raise InputError(f"{path}: does not fit the run: use one of the run's own checkpoints") from error
        raise


def raised_restoring(error: Exception) -> bool:
    """Return whether an error was raised while Lightning restored a checkpoint, or counted on from what it restored."""
    return any(
        frame.filename == progress.__file__
        or (frame.filename == checkpoint_connector.__file__ and frame.name.startswith(READERS))
        for frame in extract_tb(error.__traceback__)
    )
