"""Generated projects at work: `make test`, `make train` and what a user does next, for every pair of answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import PAIRS, written

pytestmark = pytest.mark.slow
# where the code is that of the living project, or of one before with another logger: tests of what an answer spells
SPELLED = ["tests/loggers", "tests/test_makefile.py", "tests/test_readme.py"]
# elsewhere: tests that do not look at what is left out, but for one project
WHATEVER_IS_LEFT_OUT = [
    *("data", "docs", "fuzz", "models", "networks", "optim", "loops/test_direct.py", "loops/test_matrix.py"),
    *("test_anomaly.py", "test_bad_input.py", "test_finite.py", "test_kills.py", "test_tuning.py"),
]


def chosen_tests(start: str, logger: str, loops: str) -> str:
    """Choose which of a project's own tests are run."""
    first = next(pair[1] for pair in PAIRS if (pair[0], pair[2]) == (start, loops))
    if logger != first or (start, loops) == ("everything", "yes"):
        return " ".join(SPELLED)
    if (start, loops) == ("cifar10_resnet", "yes"):
        return ""
    return " ".join(f"--ignore=tests/{name}" for name in WHATEVER_IS_LEFT_OUT)


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


@pytest.mark.parametrize("choices", PAIRS, ids="-".join)
def test_own_tests_and_training(choices: tuple[str, str, str]) -> None:
    start, logger, _ = choices
    project = installed(written(Path("leaf-counter").absolute(), *choices))
    tested = make(project, "test", f"ARGS=-n 0 {chosen_tests(*choices)}")
    assert " passed" in tested
    assert "failed" not in tested
    output = make(project, "train", "ARGS=--trainer.max_epochs 1")
    experiment = "digits_resnet" if start == "cifar10_resnet" else "digits_mlp"
    (run,) = (project / "runs" / experiment).iterdir()
    assert {"best.ckpt", "last.ckpt", "config.yaml", "metrics.csv", logger} <= {path.name for path in run.iterdir()}
    assert f"runs/{experiment}/{run.name}" in output
    assert "test" in make(project, "evaluate")


def test_lint() -> None:
    project = installed(written(Path("leaf-counter"), "cifar10_resnet", "tensorboard", "no"))
    assert "All checks passed!" in make(project.absolute(), "lint")
