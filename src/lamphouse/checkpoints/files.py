"""Checkpoints on disk: written whole or not at all, and read with every byte checked and no code run."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from lamphouse.errors import InputError
from lamphouse.files import written_whole
from lamphouse.runs.directory import Run

RESTORING = {"checkpoint_connector.py", "progress.py"}  # Lightning's modules that do, and that count on from there


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint so that it is there whole or not at all.

    Each record of the file carries its CRC-32, which `load_checkpoint` compares. The newest checkpoint of a run, from
    which it resumes, makes the one before it the run's previous one.

    Raises:
        OSError: the disk is full, say; what was at `path` is still there.
    """
    run = Run(path.parent)
    with written_whole(path, path.with_name(f".{path.name}"), run.previous if path == run.last else None) as file:
        save(checkpoint, file)


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


def steps_kept(run: Run) -> int:
    """Count the optimizer steps that the run can be resumed after."""
    return int(load_checkpoint(run.last)["global_step"]) if run.last.exists() else 0


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
