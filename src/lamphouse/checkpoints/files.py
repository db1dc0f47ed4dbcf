"""Checkpoint files: written whole or not at all, read with every byte checked and without running code."""

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import Any, BinaryIO, NamedTuple

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.loops import progress
from lightning.pytorch.trainer.connectors import checkpoint_connector
from torch.serialization import get_unsafe_globals_in_checkpoint

from lamphouse.errors import InputError
from lamphouse.files import remove_leftovers, written_whole

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
MAPPINGS = ("callbacks", "hyper_parameters", "loops")  # parts of a checkpoint that may be missing
READERS = ("resume_start", "restore", "_restore")  # how the functions of Lightning's that restore are named


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all; what was `last.ckpt` before becomes `previous.ckpt`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    with written_whole(path, path.with_name(PREVIOUS) if path.name == LAST else None) as file:
        save(checkpoint, file)
        file.flush()
        if unsafe := get_unsafe_globals_in_checkpoint(file.name):
            way_out = "leave it out of hyperparameters and states, or name it to torch.serialization.add_safe_globals"
            raise InputError(f"{path}: {', '.join(sorted(unsafe))} cannot be read without running code: {way_out}")


def save(checkpoint: Mapping[str, Any], file: BinaryIO) -> None:
    """Write a checkpoint to an open file; each record carries its CRC-32, which `load_checkpoint` compares."""
    try:
        torch.save(dict(checkpoint), file)
    except RuntimeError as error:  # behind which torch hides that the disk is full, say
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def load_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint without running code from it, every byte checked.

    Raises:
        InputError: it is missing, damaged, or not one of Lightning's.
    """
    checkpoint = _read(path, map_location)
    if not is_lightnings(checkpoint):
        raise InputError(f"{path}: not a checkpoint of Lightning's: use one that a run wrote")
    return dict(checkpoint)


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights in a checkpoint, or in a file that holds nothing else, such as torchvision's, by their names.

    Raises:
        InputError: it is missing, damaged, or holds no weights.
    """
    content = _read(path, "cpu", is_checked=zipfile.is_zipfile)
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)} if weights else {}
    if not tensors:
        raise InputError(f"{path}: holds no weights by their names: use a run's checkpoint, or a saved state_dict")
    return tensors


def _read(path: Path, map_location: Any, is_checked: Callable[[BinaryIO], bool] = lambda _: True) -> Any:
    if not path.is_file():  # missing, or a pipe, which could make the reader wait forever
        reason = "not a file: remove it" if os.path.lexists(path) else "no such checkpoint: train first"
        raise InputError(f"{path}: {reason}, or give another run")
    try:
        with path.open("rb") as file:
            damaged = damaged_record(file) if is_checked(file) else None
            file.seek(0)
            content: Any = None if damaged else torch.load(file, map_location, weights_only=True)
    except Exception as error:  # zipfile, pickle and torch raise all kinds of errors on a damaged file
        raise InputError(f"{path}: not a readable checkpoint: use another one, or train again") from error
    if damaged:
        raise InputError(f"{path}: damaged (in {damaged}): use another checkpoint, or train again")
    return content


def damaged_record(file: BinaryIO) -> str | None:
    """Name the first record whose bytes are not those that were written, which torch does not check."""
    with zipfile.ZipFile(file) as archive:
        records, size = archive.infolist(), file.seek(0, 2)
        if any(record.compress_type for record in records) or sum(record.file_size for record in records) > size:
            raise zipfile.BadZipFile  # torch writes no compressed or nested records, which could fill the memory
        return archive.testzip()


def is_lightnings(checkpoint: Any) -> bool:
    """Return whether a file's content has the parts of a Lightning checkpoint."""
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        return False
    counts = all(isinstance(checkpoint.get(name), int) for name in ("epoch", "global_step"))
    weights = checkpoint["state_dict"].items()
    named = all(isinstance(value, torch.Tensor) or str(name).endswith("_extra_state") for name, value in weights)
    return counts and named and all(isinstance(checkpoint.get(name, {}), dict) for name in MAPPINGS)


class Newest(NamedTuple):
    """A run's newest checkpoint that could be read."""

    path: Path
    content: Any  # what the reader returned
    damaged: str | None  # what is wrong with one that is newer


def read_newest(directory: Path, read: Callable[[Path], Any] = load_checkpoint) -> Newest | None:
    """Read a run's last checkpoint or, if that is damaged, its previous one; None if none has been written."""
    errors: list[InputError] = []
    for path in filter(os.path.lexists, (directory / LAST, directory / PREVIOUS)):
        try:
            return Newest(path, read(path), str(errors[0]).rpartition(": ")[0] if errors else None)
        except InputError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return None


class WholeCheckpointIO(TorchCheckpointIO):
    """Has a Trainer write checkpoints whole or not at all, and check every byte when it reads them.

    `Trainer(plugins=[WholeCheckpointIO()])`; checkpoints are local files. Reading one never runs code from it, whatever
    `weights_only` says.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        return load_checkpoint(Path(path), map_location)


@contextmanager
def loading(path: Path | str | None) -> Iterator[None]:
    """Attribute errors of Lightning's restoring to the checkpoint, which then does not fit the run."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if path is not None and raised_restoring(error):
            raise InputError(f"{path}: does not fit the run: use one of the run's own checkpoints") from error
        raise


def raised_restoring(error: Exception) -> bool:
    """Return whether an error was raised while Lightning restored a checkpoint, or counted on from what it restored."""
    return any(
        frame.filename == progress.__file__
        or (frame.filename == checkpoint_connector.__file__ and frame.name.startswith(READERS))
        for frame in extract_tb(error.__traceback__)
    )


def saved_steps(directory: Path) -> int:
    """Count the optimizer steps in the run's newest checkpoint."""
    newest = read_newest(directory)
    return int(newest.content["global_step"]) if newest else 0
