"""Compares two runs."""

import csv
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamphouse.checkpoints.files import load_checkpoint

TIMES = {"samples_per_second", "seconds"}  # which differ from run to run
RUN = r"\w+/\w+/\d{8}-\d{6}-\w{6}"  # also of a run that was copied


def run_in(folder: str) -> Path:
    (path,) = Path(folder).glob("*/*")
    return path


def contents(path: Path) -> dict[str, Any]:
    """Name every value in a checkpoint, except times; paths below its directory are as if it were `RUN`."""
    directory = re.compile(f"{Path.cwd().resolve()}/{RUN}|{re.escape(str(path.parent.resolve()))}")
    named = {directory.sub("RUN", key): value for key, value in flat(load_checkpoint(path)).items()}
    values = {key: directory.sub("RUN", value) if isinstance(value, str) else value for key, value in named.items()}
    return {key: value for key, value in values.items() if not {"Throughput", "Timer"} & {*key.split("/")}}


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Name every value in nested dictionaries and lists."""
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list | tuple):
        pairs = list(enumerate(value))
    else:
        return {name: value}
    return {key: part for inner, item in pairs for key, part in flat(item, f"{name}/{inner}").items()}


def assert_same_checkpoint(mine: Path, yours: Path) -> None:
    """Compare everything in two checkpoints."""
    a, b = contents(mine), contents(yours)
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert torch.equal(value, b[key]) if isinstance(value, Tensor) else value == b[key], f"{mine.name} {key}"


def assert_same(mine: Path, yours: Path) -> None:
    """Compare what two runs ended with, except for how long it took."""
    for name in ("last.ckpt", "best.ckpt"):
        assert_same_checkpoint(mine / name, yours / name)
    further = [sorted(path.name for path in (run / "checkpoints").glob("*")) for run in (mine, yours)]
    assert further[0] == further[1]
    for name in further[0]:
        assert_same_checkpoint(mine / "checkpoints" / name, yours / "checkpoints" / name)
    tables = []
    for run in (mine, yours):
        with (run / "metrics.csv").open(newline="") as file:
            tables.append([{n: v for n, v in row.items() if n not in TIMES} for row in csv.DictReader(file)])
    assert tables[0] == tables[1]
