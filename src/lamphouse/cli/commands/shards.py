"""Write the samples of an experiment in LitData's format, from which they are streamed."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM, signal
from tempfile import TemporaryDirectory

from jsonargparse.typing import PositiveInt

from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.data import TensorDataModule
from lamphouse.errors import InputError, python_command, short_path
from lamphouse.files import user_path
from lamphouse.runs.report import PARTS, unit
from lamphouse.shards import Shards, options_of_samples, require_litdata, write_part

MEGABYTE = 10**6


def main(project: Project, args: Sequence[str]) -> None:
    """Write every part of an experiment's data, and print the command that trains on it."""
    text = "Write an experiment's data, for --data.shards to stream it; further options are those of fit."
    parser = CommandParser(project, "shards", text, run=False)
    parser.add_argument("--output", type=user_path, help="new directory (default: data/EXPERIMENT_shards)")
    parser.add_argument("--chunk_mb", type=PositiveInt, default=32, help="size of a chunk in megabytes (default: 32)")
    parser.add_argument("--mixed", type=PositiveInt, default=32, help="chunks that are shuffled together (default: 32)")
    given, rest = parser.parse_known_args(args)
    require_litdata()
    experiment = Experiment(project, "shards", rest)
    data, output = experiment.datamodule, given.output or Path("data", f"{experiment.config.experiment}_shards")
    if not isinstance(data, TensorDataModule):
        raise InputError(f"--data {type(data).__name__}: expected a TensorDataModule, whose samples can be indexed")
    if data.shards:
        raise InputError(f"--data.shards {data.shards}: are shards already: leave the option out")
    if given.chunk_mb >= 2048:
        raise InputError(f"--chunk_mb {given.chunk_mb}: expected less than 2048")
    data.prepare_data()
    with new_folder(output) as folder:
        parts, samples_of = {}, data.parts_to_write()
        if type(data).examine is TensorDataModule.examine:  # else the state is known when the samples are written
            _check_state(data)
        for part, samples in samples_of.items():
            parts[part] = write_part(folder / part, samples, given.chunk_mb * MEGABYTE, given.mixed)
        data.examine(parts["train"])
        options = options_of_samples(data.hparams)
        Shards(type(data).__name__, options, data.seed, data.state_dict(), parts).write_index(folder)
    counts = ", ".join(f"{len(samples):,} {PARTS[part]}" for part, samples in parts.items())
    size = sum(path.stat().st_size for path in output.rglob("*.bin")) / MEGABYTE
    train = python_command("-m", project.package, "fit", *rest, "--data.shards", short_path(output))
    print(f"{short_path(output)}: {counts} {unit(data)}, {size:,.1f} MB; to train on them: {train}")


def _check_state(data: TensorDataModule) -> None:
    """Refuse a state that cannot be written beside the samples, before these are written."""
    try:
        json.dumps(data.state_dict())
    except TypeError as error:
        name = type(data).__name__
        raise InputError(f"--data {name}: its state_dict: {error}: have it return numbers, texts and lists") from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Have a folder appear when it is complete; a signal that ends the process leaves nothing behind."""
    if os.path.lexists(path):
        raise InputError(f"--output {path}: exists already: choose another one, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    before = signal(SIGTERM, lambda *_: sys.exit(128 + SIGTERM))
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            folder = Path(scratch, path.name)
            folder.mkdir()
            yield folder
            folder.rename(path)
    finally:
        signal(SIGTERM, before)
