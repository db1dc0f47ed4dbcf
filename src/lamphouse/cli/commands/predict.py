"""Predict image files, arrays and rows of numbers."""

import csv
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import instantiate_module
from torch import Tensor

from lamphouse.checkpoints import load_checkpoint
from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project, import_user_module
from lamphouse.data import TensorDataModule
from lamphouse.data.folder import listed
from lamphouse.data.image_files import find_images, refuse_all
from lamphouse.errors import InputError, short_path
from lamphouse.files import printable, write_whole
from lamphouse.machine.memory import keep_memory, out_of_memory
from lamphouse.metrics import class_probabilities

NOT_FOR_PREDICTION = ("augment", "lr_scheduler", "metrics", "optimizer")  # options of model and data
COLUMNS = ("class", "probability")


def main(project: Project, args: Sequence[str]) -> None:
    """Predict each sample of the input; write a table, by default the run's predictions.csv, and print it."""
    parser = CommandParser(project, "predict", "Predict samples, read as in training.", checkpoint=True)
    which = "an image file, an array (.npy) or rows of numbers (.csv), or a folder of images or arrays"
    parser.add_argument("--input", type=_path, required=True, help=which)
    parser.add_argument("--output", type=_path, help="table to write (default: the run's predictions.csv)")
    parser.add_argument("--top", type=_count, default=3, help="number of classes, or values, to print (default: 3)")
    parser.add_argument("--data.batch_size", type=_count, dest="size", help="samples at once (default: as in training)")
    options, run, rest = parser.parse_run(args)
    if rest:
        raise InputError(f"{' '.join(rest)}: no such option; see --help for every option")
    output = options.output or run.path / "predictions.csv"
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"--output {output}: no file in an existing folder: give another one")
    paths = _files(options.input)
    keep_memory()
    model, data = _restored(options.checkpoint, _import_classes(project, run.config))
    if not isinstance(data, TensorDataModule):
        raise InputError(f"--run {run.path}: {type(data).__name__} reads no files: predict in Python instead")
    bad: list[InputError] = []
    samples, size = _samples(data, paths, bad), options.size or data.batch_size
    batches = iter(lambda: [*islice(samples, size)], [])
    rows = [row for batch in batches for row in _rows(model, data, batch, options.top)]
    if not rows:
        refuse_all(bad)
    replaced = output.exists()
    try:
        _write(output, rows)
    finally:  # shown even if it cannot be written
        print("\n".join(_for_terminal(f"{row.name}   {row.text}") for row in rows))
    print(f"written to {short_path(output)}{' in place of the earlier one' if replaced else ''}")
    refuse_all(bad, "the others were predicted")


@dataclass
class Row:
    """The prediction of a sample: cells of the table by their column, and what is printed."""

    name: str
    cells: dict[str, Any]
    text: str


def _write(output: Path, rows: Sequence[Row]) -> None:
    text = StringIO()
    table = csv.DictWriter(text, ["file", *rows[0].cells], lineterminator="\n")
    table.writeheader()
    table.writerows({"file": printable(row.name), **row.cells} for row in rows)
    try:
        write_whole(output, text.getvalue())
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror}: choose another file") from error


def _for_terminal(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


def _path(text: str) -> Path:
    if not text:
        raise ArgumentTypeError("name a file, or a folder of them")
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: expected a whole number >=1")
    return int(text)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = find_images(path)
    files = [Path(name) for name in found.files] or sorted(path.rglob("*.npy"))
    if not files:
        raise InputError(
            f"--input {path}: no image file, array (.npy) or rows (.csv), and no folder with images or arrays"
        )
    if found.skipped and found.files:
        print(f"note: {path}: skipped: {listed(found.skipped)}", file=sys.stderr)
    return files


def _samples(data: TensorDataModule, paths: Sequence[Path], bad: list[InputError]) -> Iterator[tuple[str, Tensor]]:
    """Yield the samples of files with their names; add what is wrong with the others to `bad`."""
    for path in paths:
        try:
            inputs = data.read_samples(path)
        except InputError as error:
            bad.append(error)
            continue
        for i, sample in enumerate(inputs):
            yield str(path) if len(inputs) == 1 else f"{path}[{i}]", sample


def _import_classes(project: Project, config: Path) -> dict[str, Any]:
    """Import the classes of the run's model and data, as options name no others; return the options."""
    project.import_parts()
    options = read_file(config)
    for part in ("model", "data"):
        given = options.get(part)
        module = str(given.get("class_path") if isinstance(given, dict) else given).rpartition(".")[0]
        if module.partition(".")[0] in {*sys.stdlib_module_names, ""}:  # whose code must not run
            raise InputError(f"{config}: has no {part} of a class: give another run")
        import_user_module(module)
    return options


def _restored(checkpoint: Path, options: dict[str, Any]) -> tuple[Any, Any]:
    """Build model and data as the run's configuration says, whatever the checkpoint names, and load their states."""
    content = load_checkpoint(checkpoint)
    try:
        built: list[Any] = [
            instantiate_module(kind, {"_class_path": options[part]["class_path"], **_needed(options[part])})
            for part, kind in (("model", LightningModule), ("data", LightningDataModule))
        ]
        model, data = built
        model.on_load_checkpoint(content)
        model.load_state_dict(content["state_dict"])
        if (name := type(data).__qualname__) in content:
            data.load_state_dict(content[name])
    except Exception as error:  # another project's checkpoint raises all kinds of errors
        raise InputError(f"{checkpoint}: not a checkpoint of this project: use one that a run wrote") from error
    return model.eval(), data


def _needed(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (spec.get("init_args") or {}).items() if name not in NOT_FOR_PREDICTION}


@torch.inference_mode()
def _rows(model: Any, data: Any, batch: Sequence[tuple[str, Tensor]], top: int) -> list[Row]:
    """Predict samples: the most probable classes if the model has an output for each class, else its outputs."""
    names, samples = zip(*batch, strict=True)
    try:
        inputs, *_ = data.on_after_batch_transfer((torch.stack(samples), torch.zeros(len(names), dtype=torch.long)), 0)
        outputs = model(inputs)
    except (IndexError, NotImplementedError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        shape, reason = list(samples[0].shape), str(error).splitlines()[0]
        raise InputError(
            f"{names[0]}: the model predicts no sample of shape {shape} ({reason}): give others"
        ) from error
    if not isinstance(outputs, Tensor) or outputs.shape[:1] != (len(names),):
        raise InputError(f"--run: {type(model).__name__}.forward returns no tensor [N, ...], which predict needs")
    count = getattr(data, "num_classes", 0)
    probabilities = class_probabilities(outputs, count)
    if probabilities is not None:
        return _classes(names, probabilities, getattr(data, "classes", range(count)), top)
    values = outputs.flatten(1) if outputs.ndim > 1 else outputs[:, None]
    cells = ({f"output_{i}": value for i, value in enumerate(row, 1)} for row in values.tolist())
    texts = (" ".join(f"{value:.4f}" for value in row[:top]) for row in values.tolist())
    return [Row(*row) for row in zip(names, cells, texts, strict=True)]


def _classes(names: Sequence[str], probabilities: Tensor, classes: Sequence[Any], top: int) -> list[Row]:
    rows = []
    for name, highest, ranked in zip(names, *probabilities.topk(min(top, len(classes))), strict=True):
        pairs = [(classes[i], value) for i, value in zip(ranked.tolist(), highest.tolist(), strict=True)]
        cells = {f"{column}_{i}": pair[k] for i, pair in enumerate(pairs, 1) for k, column in enumerate(COLUMNS)}
        rows.append(Row(name, cells, "   ".join(f"{label} {value:.4f}" for label, value in pairs)))
    return rows
