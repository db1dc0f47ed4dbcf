"""Predict image files, arrays, rows of numbers and texts."""

import argparse
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lamphouse.cli.commands.ensemble import Ensemble
from lamphouse.cli.commands.respond import responds, responses
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.data.arrays import read_each
from lamphouse.data.folder import listed
from lamphouse.data.image_files import find_images, refuse_all
from lamphouse.errors import InputError, short_path
from lamphouse.files import check_local, for_terminal, printable, user_path
from lamphouse.machine.memory import keep_memory
from lamphouse.machine.settings import device_type
from lamphouse.runs.directory import find_run
from lamphouse.runs.gallery import Gallery
from lamphouse.runs.tables import check_suffix, written_table

STANDARD_INPUT = "-"
MOST_ON_TERMINAL = 100  # predictions; the table has all


def main(project: Project, args: Sequence[str]) -> None:
    """Predict each sample of the input; write a table, by default the run's predictions.csv, and print it."""
    options, rest = _parsed(project, args)
    runs = [find_run(path) for path in options.run or [Path("runs")]]
    output = options.output or runs[0].path / "predictions.csv"
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"--output {output}: no file in an existing folder: give another one")
    device = _device(options.accelerator)
    keep_memory()
    ensemble = Ensemble(project, runs, options.checkpoint or ["best"], device)
    if len(ensemble.members) > 1 and not options.output:
        raise InputError("--output: the mean of several models belongs to no run: name the table to write")
    options.output, replaced = output, output.exists()
    progress, batches = _begun(ensemble, options, rest)
    try:
        with written_table(output) as write, progress.shown:
            for rows in batches:
                progress.print(rows)
                write([row.cells for row in rows])
            if not progress.samples:
                refuse_all(progress.bad)
    except BrokenPipeError:  # of `| head`
        raise
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror or error}: choose another file") from error
    print(progress.summary(ensemble))
    print(f"written to {short_path(output)}{' in place of the earlier one' if replaced else ''}")
    _report_unreadable(progress.bad, progress.files, options.skip)


def _parsed(project: Project, args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = CommandParser(project, "predict", "Predict samples, read as in training.", run=False)
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    which = "directory of a run, or of several, of which the newest is used (default: runs); the mean of several"
    parser.add_argument("--run", type=user_path, help=which, **several)
    which = "best, last, a file, or the name of one in checkpoints/ (default: best); the mean of several"
    parser.add_argument("--checkpoint", help=which, **several)
    which = "an image, an array (.npy, .pt) or rows of numbers (.csv), a folder of images or arrays, or - for paths"
    which += " on standard input, one a line; or a text, or a file of texts, one a line, if the model takes that"
    parser.add_argument("--input", type=_given, required=True, help=which)
    which = "table to write, .csv, .jsonl or .parquet (default: the run's predictions.csv)"
    parser.add_argument("--output", type=_table, help=which)
    parser.add_argument("--top", type=_count, help="number of classes, or values, to print (default: 3)")
    which = "add a column p_NAME for each class (default: false)"
    flag: dict[str, Any] = {"type": _truth, "nargs": "?", "const": True, "default": False}
    parser.add_argument("--probabilities", help=which, **flag)
    which = "list files that cannot be read, and succeed without them (default: false)"
    parser.add_argument("--skip_unreadable", dest="skip", help=which, **flag)
    parser.add_argument("--data.batch_size", type=_count, dest="size", help="batch size (default: as in training)")
    which = "cpu, cuda, mps or auto (default: auto)"
    parser.add_argument("--trainer.accelerator", dest="accelerator", default="auto", help=which)
    return parser.parse_known_args(args)


@dataclass
class Row:
    """The prediction of a sample: cells of the table by their column, and what is printed."""

    cells: dict[str, Any]
    lines: Sequence[str]


@dataclass
class Progress:
    """What was read and predicted of a number of files, shown as a bar on terminals."""

    files: int
    samples: int = 0
    bad: list[InputError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = perf_counter()
        self.shown: tqdm[Any] = tqdm(total=self.files, unit=" files", leave=False, disable=None)

    def print(self, rows: Sequence[Row]) -> None:
        """Print predictions; a terminal does not have to show all of many."""
        left = max(MOST_ON_TERMINAL - self.samples, 0) if sys.stdout.isatty() else len(rows)
        self.samples += len(rows)
        with self.shown.external_write_mode() if left else nullcontext():
            for row in rows[:left]:
                print("\n".join(map(for_terminal, row.lines)))

    def summary(self, ensemble: Ensemble) -> str:
        """Say how many samples were predicted, how fast, and by what."""
        seconds = perf_counter() - self.start
        models = f"the mean of {len(ensemble.paths)} models" if ensemble.paths[1:] else short_path(ensemble.paths[0])
        speed = f"{self.samples:,} predicted in {seconds:.1f} s, {self.samples / seconds:,.0f} a second"
        return f"{speed}, by {models} on {ensemble.device}"


def _report_unreadable(bad: Sequence[InputError], files: int, skip: bool) -> None:
    accept = "the others were predicted; --skip_unreadable true accepts that"
    if len(bad) == 1 and not skip:
        raise InputError(f"{bad[0]}; {accept}")
    if not skip:
        refuse_all(bad, accept)
    elif bad:
        for error in bad:
            print(printable(str(error)), file=sys.stderr)
        print(f"note: skipped {len(bad):,} of {files:,} files, listed above", file=sys.stderr)


def _given(text: str) -> str:
    if not text:
        raise ArgumentTypeError("name a file, or a folder of them")
    return text


def _table(text: str) -> Path:
    path = user_path(_given(text))
    check_suffix(path)
    return path


def _truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ArgumentTypeError(f"{text}: expected true or false")
    return text == "true"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: expected a whole number >=1")
    return int(text)


def _device(accelerator: str) -> torch.device:
    found, kind = torch.accelerator.current_accelerator(check_available=True), device_type(accelerator)
    if kind not in {"cpu", found.type if found else None}:
        raise InputError(f"--trainer.accelerator {accelerator}: there is none here: use auto or cpu")
    return torch.device(kind)


def _files(given: str) -> list[Path]:
    if given == STANDARD_INPUT:
        lines = [os.fsdecode(line) for line in sys.stdin.buffer.read().splitlines() if line.strip()]
        if not lines:
            raise InputError("--input -: no path on standard input: write one a line")
        return [path for line in lines for path in (_files(line) if Path(line).is_dir() else [Path(line)])]
    path = Path(given)
    if path.is_file():
        return [path]
    found = find_images(path)
    files = [Path(name) for name in found.files] or sorted(path.rglob("*.npy")) or sorted(path.rglob("*.pt"))
    if not files:
        check_local(given, "--input")
        known = "no image file, array (.npy, .pt) or rows (.csv), and no folder with images or arrays"
        raise InputError(f"--input {path}: {known}")
    if found.skipped and found.files:
        print(f"note: {path}: skipped: {listed(found.skipped)}", file=sys.stderr)
    return files


def _samples(data: Any, paths: Sequence[Path], progress: Progress) -> Iterator[tuple[str, Tensor]]:
    """Yield the samples of files with their names; add what is wrong with the others to `progress.bad`."""
    for path, inputs in zip(paths, read_each(data.read_samples, paths), strict=True):
        if isinstance(inputs, InputError):
            progress.bad.append(inputs)
        else:
            yield from ((str(path) if len(inputs) == 1 else f"{path}[{i}]", one) for i, one in enumerate(inputs))
        progress.shown.update()


def _begun(ensemble: Ensemble, options: Any, rest: Sequence[str]) -> tuple[Progress, Iterator[list[Row]]]:
    if responds(ensemble):
        texts, answers = responses(ensemble, options, rest)
        return Progress(len(texts)), ([Row({"input": one, "output": text}, text.split("\n"))] for one, text in answers)
    if rest:
        raise InputError(f"{' '.join(rest)}: no such option; see --help for every option")
    options.top, progress = options.top or 3, Progress(len(paths := _files(options.input)))
    gallery = Gallery.of(paths, options.output.with_suffix(""))
    return progress, _predicted(ensemble, paths, progress, gallery, options)


def _predicted(
    ensemble: Ensemble, paths: Sequence[Path], progress: Progress, gallery: Gallery, options: argparse.Namespace
) -> Iterator[list[Row]]:
    """Yield the rows of each batch: the most probable classes if the models classify, else pictures or outputs."""
    samples, size = _samples(ensemble.data, paths, progress), options.size or getattr(ensemble.data, "batch_size", 1)
    while batch := [*islice(samples, size)]:
        names, inputs = zip(*batch, strict=True)
        values, classify = ensemble.predict(names, torch.stack(inputs))
        if pictures := () if classify else ensemble.pictures(values):
            rows = gallery.write(names, pictures)
        else:
            rows = _classes(values, ensemble.classes, options) if classify else _outputs(values, options.top)
        yield [
            Row({"file": printable(name), **cells}, [f"{name}   {text}"])
            for name, (cells, text) in zip(names, rows, strict=True)
        ]


def _outputs(values: Tensor, top: int) -> Iterator[tuple[dict[str, Any], str]]:
    for row in values.reshape(len(values), -1).tolist():
        cells = {f"output_{i}": value for i, value in enumerate(row, 1)}
        yield cells, " ".join(f"{value:.4f}" for value in row[:top])


def _classes(
    probabilities: Tensor, classes: Sequence[str], options: argparse.Namespace
) -> Iterator[tuple[dict[str, Any], str]]:
    names = [printable(name) for name in classes]
    for row, highest, ranked in zip(
        probabilities.tolist(), *probabilities.topk(min(options.top, len(names))), strict=True
    ):
        cells: dict[str, Any] = {}
        for i, (index, value) in enumerate(zip(ranked.tolist(), highest.tolist(), strict=True), 1):
            cells |= {f"class_{i}": names[index], f"probability_{i}": value}
        text = "   ".join(f"{names[index]} {row[index]:.4f}" for index in ranked.tolist())
        yield (
            cells | ({f"p_{name}": p for name, p in zip(names, row, strict=True)} if options.probabilities else {}),
            text,
        )
