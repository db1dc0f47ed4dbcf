"""Tell the classes of image files."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torchvision.datasets.folder import IMG_EXTENSIONS

import arc_light.data
import arc_light.models  # noqa: F401
from arc_light.commands.options import OptionParser, checkpoint_path, run_and_rest
from arc_light.errors import InputError
from arc_light.runs import load_checkpoint, write_whole

Prediction = list[tuple[str, float]]  # classes and probabilities, the most probable first


def main(args: Sequence[str]) -> None:
    """Print the most probable classes of each image, and write them to the run's predictions.csv.

    Raises:
        InputError: there is no such run, checkpoint or image, or an image is not readable.
    """
    parser = OptionParser("predict", "Tell the classes of images; they are scaled and cropped as in training.")
    parser.add_argument("--input", type=Path, required=True, help="an image file, or a folder of them")
    parser.add_argument("--checkpoint", default="best", help="best, last or a file (default: best)")
    parser.add_argument("--top", type=int, default=3, help="how many classes to name (default: 3)")
    options, run, rest = run_and_rest(parser, args)
    if rest or options.top < 1:
        raise InputError(
            f"{' '.join(rest) or f'--top {options.top}'}: no such option or value; see --help for every option"
        )
    paths = image_files(options.input)
    predictions = predict(checkpoint_path(run, options.checkpoint), paths, options.top)
    output = run.path / "predictions.csv"
    write_whole(output, table(paths, predictions))
    for path, classes in zip(paths, predictions, strict=True):
        print(f"{path}   " + "   ".join(f"{name} {probability:.4f}" for name, probability in classes))
    print(f"written to {os.path.relpath(output)}")


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


@torch.inference_mode()
def predict(checkpoint: Path, paths: Sequence[Path], top: int) -> list[Prediction]:
    """Read the images as in training and name the `top` classes of each."""
    model, data = restored(checkpoint)
    predictions: list[Prediction] = []
    for start in range(0, len(paths), data.batch_size):
        images = torch.stack([data.read(path) for path in paths[start : start + data.batch_size]])
        probabilities, classes = model(data.normalised(images)).softmax(1).topk(min(top, data.num_classes))
        for names, values in zip(classes.tolist(), probabilities.tolist(), strict=True):
            predictions.append([(data.classes[name], value) for name, value in zip(names, values, strict=True)])
    return predictions


def restored(checkpoint: Path) -> tuple[Any, Any]:
    """Build the model and the data module that a checkpoint holds.

    Raises:
        InputError: it holds none of this project's.
    """
    load_checkpoint(checkpoint)
    try:
        model = LightningModule.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
        data = LightningDataModule.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{checkpoint}: not a checkpoint of this project: use one that a run wrote") from error
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
