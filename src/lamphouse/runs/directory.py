"""Directories of runs: choosing one for a new run, and finding one."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from lamphouse.errors import InputError


@dataclass(frozen=True)
class Run:
    """The directory of a run, which holds everything that it writes."""

    path: Path

    @property
    def name(self) -> str:
        """Its name: time and short id."""
        return self.path.name

    @property
    def config(self) -> Path:
        """The fully resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """The table of metrics, a row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def best(self) -> Path:
        """The checkpoint with the best monitored metric."""
        return self.path / "best.ckpt"

    @property
    def last(self) -> Path:
        """The newest checkpoint, from which the run resumes."""
        return self.path / "last.ckpt"

    @property
    def previous(self) -> Path:
        """The one before, in case the newest is damaged."""
        return self.path / "previous.ckpt"


def new_run(root: Path, experiment: str) -> Run:
    """Choose a directory that no other run has, `root/<experiment>/<time>-<short id>`."""
    return Run(root / experiment / f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:6]}")


def find_run(path: Path) -> Run:
    """Find the run in this directory or, if it holds several, the newest.

    Raises:
        InputError: there is none.
    """
    if (path / "config.yaml").is_file():
        return Run(path)
    runs = [config.parent for depth in ("*", "*/*") for config in path.glob(f"{depth}/config.yaml")]
    if not runs:
        raise InputError(
            f"{path}: no run (config.yaml is missing): give the directory of a run or of an experiment's runs"
        )
    return Run(max(runs, key=lambda run: (run.name[:15], (run / "config.yaml").stat().st_mtime_ns)))
