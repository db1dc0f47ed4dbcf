"""`new`: files to begin with, which train and pass their tests as they are."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CONFIGS, ROOT, Outcome

Command = Callable[..., Outcome]
LIKE = f"--like={CONFIGS / 'digits_mlp.yaml'}"


def test_files_are_named_and_none_is_overwritten(arc: Command) -> None:
    outcome = arc("new", "data", "my_own", LIKE)
    assert (outcome.status, outcome.err) == (0, "")
    written = [Path(line) for line in outcome.out.splitlines()]
    assert written == [
        Path("src/arc_light/data/my_own.py"),
        Path("tests/arc_light/data/test_my_own.py"),
        Path("configs/my_own.yaml"),
    ]
    assert "class MyOwnDataModule(ImageDataModule)" in written[0].read_text()
    assert "class_path: MLPClassifier" in written[2].read_text()
    written[2].unlink()
    outcome = arc("new", "data", "my_own", LIKE)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "src/arc_light/data/my_own.py, tests/arc_light/data/test_my_own.py exists already" in outcome.err
    assert not written[2].exists()


@pytest.mark.parametrize("name", ["", "My", "class", "../up", "a-b", "1a"])
def test_names_are_those_of_modules(arc: Command, name: str) -> None:
    outcome = arc("new", "model", name, LIKE)
    assert outcome.status == 2
    assert "expected lower case letters, digits and _" in outcome.err
    assert not Path("src").exists()


@pytest.mark.slow
def test_they_train_and_pass_their_tests_and_checks(tmp_path: Path) -> None:
    for name in ("src", "configs", "tests", "pyproject.toml", "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    fit = ["arc_light", "fit", "-c", "configs/trainer.yaml", "--logger=none", "--trainer.max_epochs=1", "-c"]
    for kind in ("model", "data", "task", "experiment"):
        succeed("arc_light", "new", kind, f"my_{kind}", "--like=configs/digits_mlp.yaml")
    succeed(*fit, "configs/digits_mlp.yaml", "--model=MyModelClassifier")
    for kind in ("data", "task", "experiment"):
        succeed(*fit, f"configs/my_{kind}.yaml")
    succeed("ruff", "check", "--no-cache", "src", "tests/arc_light")
    succeed("ruff", "format", "--no-cache", "--check", "src", "tests/arc_light")
    succeed("mypy", "--cache-dir=.mypy", "src/arc_light")
    succeed("pytest", "-q", "-k=my_ or config", "tests/arc_light")


def succeed(*command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
