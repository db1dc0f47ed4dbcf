"""Classify image files."""

import csv
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torchvision.datasets.folder import IMG_EXTENSIONS

from lamphouse.checkpoints import load_checkpoint
from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project, import_user_module
from lamphouse.data import ImageDataModule
from lamphouse.errors import InputError, short_path
from lamphouse.files import write_whole
from lamphouse.machine.memory import keep_memory

NOT_FOR_PREDICTION = ("optimizer", "lr_scheduler", "metrics")  # options of the model


def main(project: Project, args: Sequence[str]) -> None:
    """Print the most probable classes of each image, and write them to the run's predictions.csv."""
    parser = CommandParser(project, "predict", "Classify images, read as in training.", checkpoint=True)
    parser.add_argument("--input", type=_path, required=True, help="an image file, or a folder of them")
    parser.add_argument("--top", type=_count, default=3, help="number of classes to print (default: 3)")
    parser.add_argument("--data.batch_size", type=_count, dest="size", help="images at once (default: as in training)")
    options, run, rest = parser.parse_run(args)
    if rest:
        raise InputError(f"{' '.join(rest)}: no such option; see --help for every option")
    paths = _image_files(options.input)
    keep_memory()
    model, data = _restored(options.checkpoint, _import_classes(project, run.config))
    size = options.size or data.batch_size
    batches = (paths[start : start + size] for start in range(0, len(paths), size))
    predictions = [prediction for batch in batches for prediction in _classify(model, data, batch, options.top)]
    output, text = run.path / "predictions.csv", StringIO()
    table, ranks = csv.writer(text, lineterminator="\n"), range(1, len(predictions[0]) + 1)
    table.writerow(["file", *(f"{column}_{rank}" for rank in ranks for column in ("class", "probability"))])
    for path, classes in zip(paths, predictions, strict=True):
        table.writerow([path, *(cell for pair in classes for cell in pair)])
    write_whole(output, text.getvalue())
    for path, classes in zip(paths, predictions, strict=True):
        print(f"{path}   " + "   ".join(f"{name} {probability:.4f}" for name, probability in classes))
    print(f"written to {short_path(output)}")


def _path(text: str) -> Path:
    if not text:
        raise ArgumentTypeError("name an image file, or a folder of them")
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: expected a whole number >=1")
    return int(text)


def _image_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)
    if not files:
        raise InputError(f"--input {path}: no image file, and no folder with any ({' '.join(IMG_EXTENSIONS)})")
    return files


def _import_classes(project: Project, config: Path) -> dict[str, Any]:
    """Import the classes of the run's model and data, as Lightning restores no others; return the model's options."""
    project.import_parts()
    options = read_file(config)
    for part in ("model", "data"):
        given = options.get(part)
        module = str(given.get("class_path") if isinstance(given, dict) else given).rpartition(".")[0]
        if module.partition(".")[0] in {*sys.stdlib_module_names, ""}:  # whose code must not run
            raise InputError(f"{config}: has no {part} of a class: give another run")
        import_user_module(module)
    return options["model"].get("init_args") or {}


def _restored(checkpoint: Path, options: dict[str, Any]) -> tuple[Any, Any]:
    held = {*load_checkpoint(checkpoint).get("hyper_parameters", {}), *NOT_FOR_PREDICTION}
    lacking = {name: value for name, value in options.items() if name not in held}
    try:
        model = LightningModule.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True, **lacking)
        data = LightningDataModule.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # another project's checkpoint raises all kinds of errors
        raise InputError(f"{checkpoint}: not a checkpoint of this project: use one that a run wrote") from error
    if not isinstance(data, ImageDataModule):
        raise InputError(f"{checkpoint}: its data is not images: use the checkpoint of an image classifier")
    return model.eval(), data


@torch.inference_mode()
def _classify(model: Any, data: Any, paths: Sequence[Path], top: int) -> list[list[tuple[str, float]]]:
    """Return the most probable classes of each image, with their probabilities."""
    images = torch.stack([data.read(path) for path in paths])
    probabilities, classes = model(data.normalise(images)).softmax(1).topk(min(top, data.num_classes))
    pairs = zip(classes.tolist(), probabilities.tolist(), strict=True)
    return [[(data.classes[name], value) for name, value in zip(*pair, strict=True)] for pair in pairs]
