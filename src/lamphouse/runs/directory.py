"""A run's own directory: make one, find one, read one."""

import json
import platform
import subprocess
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import torch

from lamphouse.errors import InputError

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "jsonargparse", "numpy", "wandb")


@dataclass(frozen=True)
class Run:
    """The directory that holds everything a run writes."""

    path: Path

    @property
    def name(self) -> str:
        """Name the run by its time and short id."""
        return self.path.name

    @property
    def config(self) -> Path:
        """Locate the fully resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """Locate the table of metrics, a row an epoch."""
        return self.path / "metrics.csv"

    @property
    def best(self) -> Path:
        """Locate the checkpoint with the best validation accuracy."""
        return self.path / "best.ckpt"

    @property
    def last(self) -> Path:
        """Locate the newest checkpoint, from which the run resumes."""
        return self.path / "last.ckpt"

    @property
    def previous(self) -> Path:
        """Locate the one before, for when the newest is damaged."""
        return self.path / "previous.ckpt"


def new_run(root: Path, experiment: str) -> Run:
    """Choose a directory that no other run has, `root/<experiment>/<time>-<short id>`."""
    return Run(root / experiment / f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:6]}")


def find_run(path: Path) -> Run:
    """Find the run in this directory or, where it holds several, the newest.

    Raises:
        InputError: there is no run.
    """
    if (path / "config.yaml").is_file():
        return Run(path)
    runs = [config.parent for depth in ("*", "*/*") for config in path.glob(f"{depth}/config.yaml")]
    if not runs:
        raise InputError(
            f"{path}: no run (config.yaml is missing): give the directory of a run or of an experiment's runs"
        )
    return Run(max(runs, key=lambda run: (run.name[:15], (run / "config.yaml").stat().st_mtime_ns)))


def environment() -> str:
    """Describe what a run depends on beside its configuration, as JSON."""
    here = Path(__file__).parent
    git = {"commit": _git(here, "rev-parse", "HEAD"), "changed": bool(_git(here, "status", "--porcelain"))}
    machine = {"python": platform.python_version(), "platform": platform.platform(), "threads": torch.get_num_threads()}
    return json.dumps({"packages": {name: version(name) for name in PACKAGES}, "git": git, **machine}, indent=2) + "\n"


def _git(folder: Path, *command: str) -> str | None:
    try:
        return subprocess.run(
            ["git", *command], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or not a clone
