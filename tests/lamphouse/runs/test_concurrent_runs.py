"""Ten runs started at once in one directory are ten runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import fit_options


@pytest.mark.slow
def test_ten_runs_at_once() -> None:
    options = [
        option for option in fit_options("digits_mlp") if not option.startswith("--logger")
    ]  # the default one logs
    command = [sys.executable, "-m", "arc_light", "fit", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, env=environment, **pipes) for _ in range(10)]
    outputs = [process.communicate(timeout=300) for process in started]
    assert [(process.returncode, err) for process, (_, err) in zip(started, outputs, strict=True)] == [(0, "")] * 10
    runs = {Path(path) for out, _ in outputs for path in re.findall(r"^run +(\S+)$", out, re.MULTILINE)}
    assert runs == set(Path("runs/digits_mlp").iterdir())
    assert len(runs) == 10
    assert all((run / "best.ckpt").is_file() and (run / "last.ckpt").is_file() for run in runs)
    figures = {tuple((run / "metrics.csv").read_text().splitlines()[1].split(",")[:5]) for run in runs}
    assert len(figures) == 1  # of one seed
