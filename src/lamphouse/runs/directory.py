"""Directories of runs: choosing one for a new run, and finding one."""

from collections.abc import Iterator
from datetime import datetime
from os import walk
from pathlib import Path
from uuid import uuid4

from lamphouse.errors import InputError, did_you_mean
from lamphouse.files import user_path


class Run:
    """The directory of a run, which holds everything that it writes."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.config = path / "config.yaml"  # fully resolved
        self.metrics = path / "metrics.csv"  # a row for each epoch
        self.best = path / "best.ckpt"  # by the monitored metric
        self.last = path / "last.ckpt"  # from which the run resumes
        self.history = path / "history.json"  # of what was trained when, and why it ended
        self.kept = path / "checkpoints"  # further ones

    def checkpoint(self, name: str) -> Path:
        """Return the path of "best", "last", a file, or one of the further checkpoints by its name.

        Raises:
            InputError: there is none of this name.
        """
        if name in {"best", "last"}:
            return self.path / f"{name}.ckpt"
        given, kept = user_path(name), self.kept / name
        if given.exists() or not self.kept.is_dir():
            return given
        if not kept.exists():
            names = ", ".join(sorted(path.name for path in self.kept.glob("*.ckpt")))
            raise InputError(f"--checkpoint {name}: no such file; there are best, last, {names}")
        return kept


def new_run(root: Path, experiment: str) -> Run:
    """Choose a directory that no other run has, `root/<experiment>/<time>-<short id>`."""
    return Run(root / experiment / f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:6]}")


def find_run(path: Path) -> Run:
    """Find the run in this directory or, if it holds several, the newest."""
    return find_runs(path)[-1]


def find_runs(path: Path) -> list[Run]:
    """Find the run in this directory or all runs below, the newest last; raise an `InputError` if there is none."""
    if not (runs := [*_runs_within(path)]):
        way_out = "give the directory of a run or of an experiment's runs"
        close = did_you_mean(str(path), map(str, path.parent.glob("*/")))
        raise InputError(f"{path}: no run (config.yaml is missing): {way_out}{close}")
    return sorted(runs, key=lambda run: (run.name[:15], run.config.stat().st_mtime_ns))


def _runs_within(path: Path) -> Iterator[Run]:
    """Find the run in this directory or those up to three levels below."""
    for directory, below, files in walk(path, followlinks=True):
        if found := "config.yaml" in files:
            yield Run(Path(directory))
        if found or len(Path(directory).parts) == len(path.parts) + 3:
            below.clear()  # what was exported within a run has a configuration, too, and is no run


def check_entries(run: Run) -> None:
    """Raise an `InputError` if writing into the directory could write elsewhere, or wait for another process."""
    inside = run.path.resolve()
    for path in run.path.rglob("*"):
        if path.parts[len(run.path.parts)] == "wandb" and path.parent.name == "logs":
            continue  # of W&B's earlier processes, which link to its cache
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise InputError(f"{path}: a link that leads out of the run's directory: remove it")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path}: neither a file nor a directory: remove it")
