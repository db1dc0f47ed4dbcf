"""Checkpoints on disk: there whole or not at all, and the one before until the next is there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from arc_light.runs import Run


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a file next to where it belongs, have the disk confirm it, and only then put it in its place.

    Each record of the file carries its CRC-32, which `load_checkpoint` compares. The newest checkpoint of a run, from
    which it resumes, makes the one before it the run's previous one.

    Raises:
        OSError: the disk is full, say; what was at `path` is still there.
    """
    temporary = path.with_name(f".{path.name}")
    try:
        with temporary.open("wb") as file:
            save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        run = Run(path.parent)
        if path == run.last and path.exists():
            path.replace(run.previous)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save(checkpoint: Mapping[str, Any], file: BinaryIO) -> None:
    """Write a checkpoint to an open file.

    Raises:
        OSError: the file takes no more, which torch hides behind an error of its own.
    """
    try:
        torch.save(dict(checkpoint), file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


class WholeCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written by `write_checkpoint`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint so that it is there whole or not at all."""
        write_checkpoint(checkpoint, Path(path))
