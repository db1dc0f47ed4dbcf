"""Compares two runs."""

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamphouse.checkpoints.files import load_checkpoint

TIMES = {"images_per_second", "seconds"}  # which differ from run to run
COMPARED = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "averaging_state", "scaler")


def run_in(folder: str) -> Path:
    (path,) = Path(folder).glob("*/*")
    return path


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Name every value in nested dictionaries and lists."""
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list | tuple):
        pairs = list(enumerate(value))
    else:
        return {name: value}
    return {key: part for inner, item in pairs for key, part in flat(item, f"{name}/{inner}").items()}


def assert_same(mine: Path, yours: Path) -> None:
    """Compare what two runs ended with, but for how long it took."""
    for name in ("last.ckpt", "best.ckpt"):
        a, b = (
            flat({part: value for part, value in load_checkpoint(run / name).items() if part in COMPARED})
            for run in (mine, yours)
        )
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert torch.equal(value, b[key]) if isinstance(value, Tensor) else value == b[key], f"{name} {key}"
    tables = []
    for run in (mine, yours):
        with (run / "metrics.csv").open(newline="") as file:
            tables.append([{n: v for n, v in row.items() if n not in TIMES} for row in csv.DictReader(file)])
    assert tables[0] == tables[1]
