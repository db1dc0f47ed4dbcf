"""A run's own directory: make one, find one, read one."""

import json
import os
import platform
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from traceback import extract_tb
from typing import Any
from uuid import uuid4

import torch

from arc_light.errors import InputError

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "jsonargparse", "numpy", "wandb")
RESTORING = {"checkpoint_connector.py", "progress.py"}  # Lightning's modules that do, and that count on from there


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


def steps_kept(run: Run) -> int:
    """Count the optimizer steps that the run can be resumed after."""
    return int(load_checkpoint(run.last)["global_step"]) if run.last.exists() else 0


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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


def load_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint without running code from it, every byte checked.

    Raises:
        InputError: it is missing, damaged, or not one of Lightning's.
    """
    try:
        damaged = damaged_part(path)
        checkpoint: Any = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint: train first, or give another run") from error
    except Exception as error:  # a damaged file makes zipfile, pickle and torch raise about anything
        raise InputError(f"{path}: not a readable checkpoint: use another one, or train again") from error
    if damaged:
        raise InputError(f"{path}: damaged (in {damaged}): use another checkpoint, or train again")
    if not is_lightnings(checkpoint):
        raise InputError(f"{path}: not a checkpoint of this project: use one that a run wrote")
    return dict(checkpoint)


def is_lightnings(checkpoint: Any) -> bool:
    """Tell whether what was read has the parts of Lightning's checkpoints."""
    kinds = {"state_dict": dict, "hyper_parameters": dict, "epoch": int, "global_step": int}
    if not isinstance(checkpoint, dict) or not all(isinstance(checkpoint.get(k), kind) for k, kind in kinds.items()):
        return False
    weights = checkpoint["state_dict"].items()
    return all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights)


@contextmanager
def loading(path: Path | str | None) -> Iterator[None]:
    """Say of errors in Lightning's restoring that they come from the checkpoint.

    Raises:
        InputError: the checkpoint has parts that the run cannot take over.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        modules = {Path(frame.filename).name for frame in extract_tb(error.__traceback__)}
        if path is not None and modules & RESTORING:
            raise InputError(f"{path}: does not fit the run: use one of the run's own checkpoints") from error
        raise


def damaged_part(path: Path) -> str | None:
    """Name the part of a checkpoint that is not what was written, which torch itself does not notice.

    Raises:
        zipfile.BadZipFile: it is compressed or has parts within parts, as none of torch's is: it could fill the memory.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if any(part.compress_type for part in parts) or sum(part.file_size for part in parts) > path.stat().st_size:
            raise zipfile.BadZipFile
        return archive.testzip()
