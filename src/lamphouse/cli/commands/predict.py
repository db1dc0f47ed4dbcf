"""Tell the classes of image files."""

import csv
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule
from torchvision.datasets.folder import IMG_EXTENSIONS

import lamphouse.data
from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.cli.commands.options import OptionParser, checkpoint_path, run_and_rest
from lamphouse.cli.project import Project
from lamphouse.errors import InputError
from lamphouse.files import write_whole
from lamphouse.machine import memory
from lamphouse.machine.memory import advice, out_of_memory

Prediction = list[tuple[str, float]]  # classes and probabilities, the most probable first


def main(project: Project, args: Sequence[str]) -> None:
    """Print the most probable classes of each image, and write them to the run's predictions.csv.

    Raises:
        InputError: there is no such run, checkpoint or image, or an image is not readable.
    """
    parser = OptionParser(project, "predict", "Tell the classes of images; they are scaled and cropped as in training.")
    parser.add_argument("--input", type=Path, required=True, help="an image file, or a folder of them")
    parser.add_argument("--checkpoint", default="best", help="best, last or a file (default: best)")
    parser.add_argument("--top", type=int, default=3, help="how many classes to name (default: 3)")
    parser.add_argument("--data.batch_size", type=int, dest="batch_size", help="images at once (default: as trained)")
    options, run, rest = run_and_rest(parser, args)
    wrong = [*rest, *too_small({"--top": options.top, "--data.batch_size": options.batch_size})]
    if wrong:
        raise InputError(f"{' '.join(wrong)}: no such option or value; see --help for every option")
    paths = image_files(options.input)
    memory.keep_memory()
    checkpoint = checkpoint_path(run, options.checkpoint)
    import_classes(run.config)
    size = options.batch_size or restored(checkpoint)[1].batch_size
    predictions = predict(checkpoint, paths, options.top, size)
    if predictions is None:
        raise InputError(advice(min(size, len(paths)), fitting_batch(checkpoint, paths, size)))
    output = run.path / "predictions.csv"
    write_whole(output, table(paths, predictions))
    for path, classes in zip(paths, predictions, strict=True):
        print(f"{path}   " + "   ".join(f"{name} {probability:.4f}" for name, probability in classes))
    print(f"written to {os.path.relpath(output)}")


def too_small(numbers: Mapping[str, int | None]) -> list[str]:
    """List the options whose number is less than 1."""
    return [f"{name} {number}" for name, number in numbers.items() if number is not None and number < 1]


def image_files(path: Path) -> list[Path]:
    """List an image file, or those in a folder and below.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)
    if not files:
        raise InputError(f"--input {path}: no image file, and no folder with any ({' '.join(IMG_EXTENSIONS)})")
    return files


def predict(checkpoint: Path, paths: Sequence[Path], top: int, batch_size: int) -> list[Prediction] | None:
    """Name the `top` classes of each image, or return None where memory does not suffice for a batch."""
    try:
        return predictions_of(checkpoint, paths, top, batch_size)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what fills the memory
        return None


def fitting_batch(checkpoint: Path, paths: Sequence[Path], too_large: int) -> int:
    """Find the number of images for which memory suffices, by halving; 0 is not even one."""
    size = min(too_large, len(paths)) // 2
    while size and predict(checkpoint, paths[:size], 1, size) is None:
        size //= 2
    return size


@torch.inference_mode()
def predictions_of(checkpoint: Path, paths: Sequence[Path], top: int, batch_size: int) -> list[Prediction]:
    """Read the images as in training and name the `top` classes of each."""
    model, data = restored(checkpoint)
    predictions: list[Prediction] = []
    for start in range(0, len(paths), batch_size):
        images = torch.stack([data.read(path) for path in paths[start : start + batch_size]])
        probabilities, classes = model(data.normalise(images)).softmax(1).topk(min(top, data.num_classes))
        for names, values in zip(classes.tolist(), probabilities.tolist(), strict=True):
            predictions.append([(data.classes[name], value) for name, value in zip(names, values, strict=True)])
    return predictions


def import_classes(config: Path) -> None:
    """Import the modules of the run's model and data, for Lightning restores classes that are there already only.

    Raises:
        InputError: the configuration names none, or one that cannot be imported.
    """
    try:
        options = yaml.safe_load(config.read_text())
        for part in ("model", "data"):
            import_module_of(options[part]["class_path"])
    except Exception as error:  # of a damaged file, or of a module of the user's own
        raise InputError(f"{config}: its model and data cannot be imported: {error}; start where it trained") from error


def import_module_of(class_path: str) -> None:
    """Import the module of a class, but none of Python's own, which have no models and act when imported.

    Raises:
        ImportError: it is one of those, or there is none.
    """
    module = class_path.rpartition(".")[0]
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ImportError(f"{class_path} is Python's own")
    import_module(module)


def restored(checkpoint: Path) -> tuple[Any, Any]:
    """Build the model and the data module that a checkpoint holds.

    Raises:
        InputError: it holds none of this project's.
    """
    load_checkpoint(checkpoint)
    try:
        model = LightningModule.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
        data = LightningDataModule.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # what another project's checkpoint leads to
        raise InputError(f"{checkpoint}: not a checkpoint of this project: use one that a run wrote") from error
    if not isinstance(data, lamphouse.data.ImageDataModule):
        raise InputError(f"{checkpoint}: has no data of images with it: use one that a run wrote")
    return model.eval(), data


def table(paths: Sequence[Path], predictions: Sequence[Prediction]) -> str:
    """Write predictions as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ranks = range(1, len(predictions[0]) + 1)
    writer.writerow(["file", *(f"{column}_{rank}" for rank in ranks for column in ("class", "probability"))])
    writer.writerows(
        [path, *(cell for pair in classes for cell in pair)] for path, classes in zip(paths, predictions, strict=True)
    )
    return text.getvalue()
