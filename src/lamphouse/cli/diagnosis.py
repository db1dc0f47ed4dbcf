"""Explain a training that ended in infinite numbers or nan."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from lamphouse.callbacks import Position, find_operation
from lamphouse.checkpoints.files import saved_steps
from lamphouse.cli.experiment import Experiment, is_first_process
from lamphouse.data import BatchSampler, TensorDataModule
from lamphouse.errors import NotFiniteError
from lamphouse.files import write_whole

MOST_NAMED = 4  # samples in the error itself; more are listed in a file
ADVICE = (
    "try a smaller learning rate, check the preprocessing and the loss, clip gradients (--trainer.gradient_clip_val 1) "
    "or use --trainer.precision 32-true"
)
FINDER = "-c configs/debug/anomaly.yaml finds the operation"


@contextmanager
def naming_operation(experiment: Experiment) -> Iterator[None]:
    """Name the operation behind a number that is not finite, if `--trainer.detect_anomaly` asks for it.

    Raises:
        NotFiniteError: there was such a number.
    """
    if not experiment.config.trainer.detect_anomaly:
        yield
        return
    with find_operation(experiment.model) as finder:
        try:
            yield
        except NotFiniteError as error:
            raise NotFiniteError(f"{error}: {finder}", error.position) from error
        except RuntimeError as error:  # torch's own check of every backward step
            if "returned nan values" not in str(error):
                raise
            position = experiment.finite.position
            raise NotFiniteError(f"a gradient is nan {position}: {finder}: {error}", position) from error


def explain_not_finite(experiment: Experiment, error: NotFiniteError) -> NotFiniteError:
    """Add the samples of the batch, what to try, and the checkpoint to continue from."""
    parts = [str(error), named_samples(experiment, error.position) if error.position else ""]
    if is_first_process():
        finder = "" if experiment.config.trainer.detect_anomaly else FINDER
        parts += [ADVICE, finder, what_is_kept(experiment)]
    return NotFiniteError("; ".join(filter(None, parts)), error.position)


def named_samples(experiment: Experiment, position: Position) -> str:
    """Name the samples of a batch by their indices in the training set; many are listed in a file of the run."""
    indices = sample_indices(experiment.datamodule, position)
    text = f"training images {', '.join(map(str, indices[:MOST_NAMED]))}" if indices else ""
    if len(indices) <= MOST_NAMED:
        return text
    if not is_first_process():
        return f"{text} …"
    path = experiment.run.path / "not_finite.json"
    described = {**position._asdict(), "lr": float(position.lr), "training_images": indices}
    write_whole(path, json.dumps(described) + "\n")
    return f"{text} … (all in {os.path.relpath(path)})"


def sample_indices(data: object, position: Position) -> list[int]:
    """Compute which samples a batch had; empty for another DataLoader, whose order is not known."""
    sampler = data.train_dataloader().sampler if isinstance(data, TensorDataModule) else None
    if not isinstance(sampler, BatchSampler):
        return []
    sampler.set_epoch(position.epoch)
    _, indices = next(islice(sampler, position.batch, None))
    return [int(index) for index in indices]


def what_is_kept(experiment: Experiment) -> str:
    """Name the checkpoint from before."""
    steps = saved_steps(experiment.run.path)
    return (
        f"{os.path.relpath(experiment.run.last)} is from before, with {steps} steps"
        if steps
        else "nothing was learned yet"
    )
