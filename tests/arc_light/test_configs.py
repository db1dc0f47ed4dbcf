"""Every experiment trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILES = sorted(Path(__file__).parents[2].glob("configs/*.yaml"))
NAMES = [path.stem for path in FILES if {"model:", "data:"} <= {*path.read_text().split()}]
EXPERIMENTS = [pytest.param(name, marks=[pytest.mark.slow] * ("finetune" in name)) for name in NAMES]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_trains_and_tests(experiment: str, run: Callable[..., Any], options: Callable[[str], list[object]]) -> None:
    status, output, error = run("fit", *options(experiment))
    if status == 2 and (" --data." in error or "No such file" in error):
        pytest.skip(f"lacks its data, make a tiny copy in tests/arc_light/tiny_data: {error}")
    assert status == 0, error
    (folder,) = Path("runs", experiment).iterdir()
    assert str(folder) in output
    assert {"best.ckpt", "last.ckpt", "config.yaml", "metrics.csv"} <= {path.name for path in folder.iterdir()}
    assert run("evaluate", "--run", folder)[0] == 0
