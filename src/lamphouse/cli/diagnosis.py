"""What is said of a training that ended in numbers which are infinite or not a number."""

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
from lamphouse.runs.directory import Run

FEW = 4  # images that are named in the error itself
ADVICE = (
    "try a smaller learning rate, check the preprocessing and the loss, clip gradients (--trainer.gradient_clip_val 1) "
    "or use --trainer.precision 32-true"
)
FINDER = "-c configs/debug/anomaly.yaml finds the operation"


@contextmanager
def naming_operation(experiment: Experiment) -> Iterator[None]:
    """Find the operation behind a number that is not finite, if `--trainer.detect_anomaly` asks for it.

    Raises:
        NotFiniteError: there is such a number.
    """
    if not experiment.config.trainer.detect_anomaly:
        yield
        return
    with find_operation(experiment.model) as finder:
        try:
            yield
        except NotFiniteError as error:
            raise NotFiniteError(f"{error}: {finder}", error.position) from error
        except RuntimeError as error:  # torch's own check of what each step backwards makes
            if "returned nan values" not in str(error):
                raise
            position = experiment.finite.position
            raise NotFiniteError(f"a gradient is nan {position}: {finder}: {error}", position) from error


def explained(experiment: Experiment, error: NotFiniteError) -> NotFiniteError:
    """Add the images of the batch, what to try, and from where to go on."""
    finder = [] if experiment.config.trainer.detect_anomaly else [FINDER]
    images = [named_images(experiment, error.position)] if error.position else []
    more = [ADVICE, *finder, kept(experiment.run)] if is_first_process() else []  # the run is the first one's
    parts = [str(error), *filter(None, images), *more]
    return NotFiniteError("; ".join(parts), error.position)


def named_images(experiment: Experiment, position: Position) -> str:
    """Name the images of a batch by their indices in the training part; many are listed in a file of the run."""
    indices = indices_of(experiment.datamodule, position)
    text = f"training images {', '.join(map(str, indices[:FEW]))}" if indices else ""
    if len(indices) <= FEW:
        return text
    if not is_first_process():
        return f"{text} …"
    path = experiment.run.path / "not_finite.json"
    write_whole(path, json.dumps({**position._asdict(), "lr": float(position.lr), "training_images": indices}) + "\n")
    return f"{text} … (all in {os.path.relpath(path)})"


def indices_of(data: object, position: Position) -> list[int]:
    """Compute which images a batch had; of a loader of the user's own this is not known."""
    sampler = data.train_dataloader().sampler if isinstance(data, TensorDataModule) else None
    if not isinstance(sampler, BatchSampler):
        return []
    sampler.set_epoch(position.epoch)
    _, indices = next(islice(sampler, position.batch, None))
    return [int(index) for index in indices]


def kept(run: Run) -> str:
    """Say what is left of the time before."""
    steps = saved_steps(run.path)
    return f"{os.path.relpath(run.last)} is from before, with {steps} steps" if steps else "nothing was learned yet"
