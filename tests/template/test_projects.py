"""Generated projects at work: `make test`, `make train` and what a user does next, for every pair of answers."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from projects import PAIRS, written

pytestmark = pytest.mark.slow
Project = tuple[Path, Future[str]]


def installed(project: Path) -> Path:
    """Have a project use this environment instead of installing its own."""
    (project / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "ruff", "mypy"):
        tool = project / ".venv" / "bin" / name
        program = sys.executable if name == "python" else f"{sys.executable} -m {name}"
        tool.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        tool.chmod(0o755)
    (project / ".venv" / ".ready").touch()  # newer than the lock: make has nothing to set up
    return project


def make(project: Path, *words: str) -> str:
    """Run make in a project, with one thread and no setting of ours, and return its output."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "WANDB", "MAKE"))
    }
    environment |= {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1", "HOME": str(project.parent)}
    done = subprocess.run(["make", *words], cwd=project, env=environment, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str, str], Project]]:
    """Write all projects and run their tests, as many at a time as there are cores."""
    folders = {choices: tmp_path_factory.mktemp("-".join(choices)) / "leaf-counter" for choices in PAIRS}
    for choices, folder in folders.items():
        installed(written(folder, *choices))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {choices: (folder, pool.submit(make, folder, "test")) for choices, folder in folders.items()}
        pool.shutdown(cancel_futures=True)
    for folder in folders.values():
        shutil.rmtree(folder)


@pytest.mark.parametrize("choices", PAIRS, ids="-".join)
def test_own_tests(choices: tuple[str, str, str], projects: dict[tuple[str, str, str], Project]) -> None:
    _, tests = projects[choices]
    output = tests.result()
    assert " passed" in output
    assert "failed" not in output


@pytest.mark.parametrize("choices", PAIRS, ids="-".join)
def test_training(choices: tuple[str, str, str], projects: dict[tuple[str, str, str], Project]) -> None:
    start, logger, _ = choices
    project, tests = projects[choices]
    tests.exception()  # wait: both write below the project's folder
    output = make(project, "train", "ARGS=--trainer.max_epochs 1")
    experiment = "digits_resnet" if start == "cifar10_resnet" else "digits_mlp"
    (run,) = (project / "runs" / experiment).iterdir()
    assert {"best.ckpt", "last.ckpt", "config.yaml", "metrics.csv", logger} <= {path.name for path in run.iterdir()}
    assert f"runs/{experiment}/{run.name}" in output
    assert "test" in make(project, "evaluate")


def test_lint() -> None:
    project = installed(written(Path("leaf-counter"), "cifar10_resnet", "tensorboard", "no"))
    make(project.absolute(), "lint")
