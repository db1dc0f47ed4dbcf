"""Other data than that of its run, for a model to be measured on."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.commands.ensemble import import_classes, restore
from lamphouse.cli.experiment import Experiment
from lamphouse.data import ImageDataModule, ImageFolderDataModule, Samples, TensorDataModule
from lamphouse.errors import InputError
from lamphouse.runs.directory import Run
from lamphouse.runs.history import identity, read_history
from lamphouse.runs.report import class_names

SIZE = "--data.image_size N --data.channels 1 or 3 bring a folder's images into a shape"


def explained(error: InputError, run: Run, options: Sequence[str]) -> InputError:
    """Say what a run's model takes, if the error is that given data has other inputs or another number of classes."""
    found = re.match(r"--model\.(input_shape|num_classes) (.+): the data has (.+): leave", str(error))
    if not found or any(option.startswith(f"--model.{found[1]}") for option in options):
        return error
    if found[1] == "input_shape":
        return InputError(f"--run {run.path}: its model takes inputs {found[2]}, the data has {found[3]}: {SIZE}")
    way_out = "give data of the same classes"
    return InputError(f"--run {run.path}: its model knows {found[2]} classes, the data has {found[3]}: {way_out}")


def _is_other_data(experiment: Experiment, run: Run, options: Sequence[str]) -> bool:
    """Return whether options chose another data set than the run's, which may just have been moved."""
    data, history = experiment.datamodule, read_history(run)
    if not any(option.startswith("--data") for option in options) or not isinstance(data, TensorDataModule):
        return False
    for stage in ("fit", "test"):
        data.setup(stage)  # in every process
    before = history[0]["data"].get("test") if history else None
    return before is not None and before != identity(data).get("test")


def take_as_own(experiment: Experiment, run: Run, checkpoint: Path, options: Sequence[str]) -> bool:
    """Return whether options chose other data; if so, normalize it as the run's, and measure all of a flat folder.

    Raises:
        InputError: the data has other classes.
    """
    if not _is_other_data(experiment, run, options):
        return False
    import_classes(experiment.project, run.config)
    data, own = experiment.datamodule, restore(checkpoint, read_file(run.config))[1]
    here, known = class_names(data), class_names(own)
    if here != known:
        first = next((pair for pair in zip(here, known, strict=False) if pair[0] != pair[1]), ("", ""))
        raise InputError(
            f"--data: other classes, {first[0]!r} instead of {first[1]!r}: name them as the run's data does"
        )
    if isinstance(data, ImageDataModule) and isinstance(own, ImageDataModule):
        data.mean, data.std = own.mean, own.std
    if isinstance(data, ImageFolderDataModule) and "test" not in data.folders and not _same_place(data, own):
        inputs, targets = zip(*(samples[:] for samples in data.parts.values()), strict=True)
        data.parts["test"] = Samples(torch.cat(inputs), torch.cat(targets))
    return True


def _same_place(data: ImageFolderDataModule, own: Any) -> bool:
    return isinstance(own, ImageFolderDataModule) and data.root.resolve() == own.root.resolve()
