"""Projects planned from this repository, and the answers that they are planned from."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from allpairspy import AllPairs

from arc_light_scaffold.plan import Plan, make_plan
from arc_light_scaffold.write import write

ROOT = Path(__file__).parents[2]
CHOICES = {
    "starting_point": ["everything", "mnist_mlp", "cifar10_resnet", "image_folder", "scenes_unet", "shakespeare_gpt"],
    "logger": ["wandb", "tensorboard", "csv"],
    "loops": ["yes", "no"],
    "licence": ["MIT", "BSD-3-Clause", "proprietary"],  # Apache-2.0 is a file as BSD-3-Clause is
    "package_name": ["leaf_counter", "q", "z" * 30],  # of three lengths, before and after lamphouse in the alphabet
}
PAIRS = [dict(zip(CHOICES, values, strict=True)) for values in AllPairs(list(CHOICES.values()))]
LIVING = {  # the answers that reproduce this repository's own names
    "project_name": "Arc Light",
    "project_slug": "arc-light",
    "package_name": "arc_light",
    "description": "Models in PyTorch Lightning that train, resume and prove what they compute",
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
SMALLEST = {"starting_point": "mnist_mlp", "logger": "csv", "loops": "no"}


def answers(**others: str) -> dict[str, str]:
    """Answer as a user who wants a project of their own, with everything unless told otherwise."""
    return {**OURS, **others}


@cache
def planned(**others: str) -> Plan:
    """Plan a project, once for all tests."""
    return make_plan(ROOT, answers(**others))


def text_of(plan: Plan, path: str) -> str:
    """Read a planned file."""
    return plan[path].content.decode()


def texts_of(plan: Plan) -> dict[str, str]:
    """Read all planned texts that a user owns: not those of lamphouse."""
    own = (path for path in plan if b"\0" not in plan[path].content and not path.startswith("src/lamphouse/"))
    return {path: text_of(plan, path) for path in own}


def written(folder: Path, **others: str) -> Path:
    """Write a project without a repository."""
    folder.mkdir(parents=True)
    write(planned(**others), folder, answers(**others), with_git=False)
    return folder


def label(choices: dict[str, str]) -> str:
    """Name a combination of answers in a test's identifier."""
    return "-".join(value[:14] for value in choices.values())


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Read all files below a folder except a repository's own: content, and whether it is executable."""
    paths = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100)) for path in paths
    }


def run(*command: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command that has to succeed."""
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
