"""Projects planned from the living one, and the answers that they are planned from."""

import subprocess
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from arc_light_scaffold.plan import Plan, make_plan
from arc_light_scaffold.write import write

ROOT = Path(__file__).parents[2]
STARTS, LOGGERS, LOOPS = ("everything", "mnist_mlp", "cifar10_resnet"), ("wandb", "tensorboard", "csv"), ("yes", "no")
COMBINATIONS = list(product(STARTS, LOGGERS, LOOPS))
# every pair of answers to two of the three questions is in one of these
PAIRS = [(start, logger, LOOPS[(i + j) % 2]) for i, start in enumerate(STARTS) for j, logger in enumerate(LOGGERS)]
LIVING = {  # the answers that make the living project itself
    "project_name": "Arc Light",
    "project_slug": "arc-light",
    "package_name": "arc_light",
    "description": "Image classifiers with PyTorch Lightning that train, resume and prove what they compute",
    "author": "The Arc Light authors",
    "email": "",
    "year": "2026",
    "licence": "MIT",
    "logger": "wandb",
    "starting_point": "everything",
    "loops": "yes",
    "git": "no",
}
OURS = {
    **LIVING,
    "project_name": "Leaf Counter",
    "project_slug": "leaf-counter",
    "package_name": "leaf_counter",
    "description": "Counts the leaves of a tree",
    "author": "Zoë O'Brien",
    "email": "zoe@example.org",
    "year": "2031",
}


def answers(start: str = "everything", logger: str = "wandb", loops: str = "yes", **others: str) -> dict[str, str]:
    """Answer as a user who wants a project of their own."""
    return {**OURS, "starting_point": start, "logger": logger, "loops": loops, **others}


@cache
def planned(start: str = "everything", logger: str = "wandb", loops: str = "yes", **others: str) -> Plan:
    """Plan a project, once for all tests."""
    return make_plan(ROOT, answers(start, logger, loops, **others))


def text_of(plan: Plan, path: str) -> str:
    """Read a planned file."""
    return plan[path].content.decode()


def written(folder: Path, *choices: str, **others: str) -> Path:
    """Write a project without a repository."""
    folder.mkdir(parents=True)
    write(planned(*choices, **others), folder, answers(*choices, **others), with_git=False)
    return folder


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Read all files below a folder but a repository's own: content, and whether it is executable."""
    paths = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100)) for path in paths
    }


def run(*command: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command that has to succeed."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
