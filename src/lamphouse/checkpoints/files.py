"""Checkpoint files: written whole or not at all, read with every byte checked and without running code."""

import os
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from torch.serialization import get_unsafe_globals_in_checkpoint

from lamphouse.checkpoints.shards import REST, read_shards, read_whole
from lamphouse.errors import InputError
from lamphouse.files import put_in_place, remove_leftovers, written_whole

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
MAPPINGS = ("callbacks", "hyper_parameters", "loops")  # parts of a checkpoint that may be missing


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all; what was `last.ckpt` before becomes `previous.ckpt`."""
    make_room(path)
    with written_whole(path, before(path)) as file:
        save(checkpoint, file)
        file.flush()
        refuse_code(Path(file.name), path)


def place_directory(new: Path, path: Path) -> None:
    """Put a directory of shards, which is complete, in the place of a checkpoint; also `last.ckpt` as above."""
    refuse_code(new / REST, path)
    for file in new.iterdir():
        with file.open("rb") as synced:
            os.fsync(synced.fileno())
    put_in_place(new, path, before(path))


def make_room(path: Path) -> None:
    """Make the directory of a checkpoint, and remove what killed writers left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for written in filter(None, (path, before(path))):
        remove_leftovers(written)


def before(path: Path) -> Path | None:
    """Return where the checkpoint of this path goes when a new one is written."""
    return path.with_name(PREVIOUS) if path.name == LAST else None


def refuse_code(file: Path, path: Path) -> None:
    """Raise an InputError if a file, which is to be a part of the checkpoint `path`, could not be read any more."""
    if unsafe := get_unsafe_globals_in_checkpoint(file):
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


def load_checkpoint(path: Path, map_location: Any = "cpu", weights: bool = True) -> dict[str, Any]:
    """Read a checkpoint, a file or a directory of shards, without running code from it, every byte checked.

    Args:
        path: of the checkpoint.
        map_location: as of `torch.load`, for a file.
        weights: False reads the tensors of a directory as zeros that take no memory, which they might exceed.

    Raises:
        InputError: it is missing, damaged, or not one of Lightning's.
    """
    checkpoint = _read(path, map_location, weights)
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


def _read(
    path: Path, map_location: Any, weights: bool = True, is_checked: Callable[[BinaryIO], bool] = lambda _: True
) -> Any:
    if not (path.is_file() or (path / REST).is_file()):  # missing, or a pipe, which could make the reader wait forever
        reason = "not a file: remove it" if os.path.lexists(path) else "no such checkpoint: train first"
        raise InputError(f"{path}: {reason}, or give another run")
    try:
        if path.is_dir():
            return read_shards(path, weights)
        with path.open("rb") as file:
            if is_checked(file):
                return read_whole(file, map_location)
            file.seek(0)
            return torch.load(file, map_location, weights_only=True)
    except InputError as error:
        raise InputError(f"{path}: damaged (in {error}): use another checkpoint, or train again") from error
    except Exception as error:  # zipfile, pickle and torch raise all kinds of errors on a damaged file
        raise InputError(f"{path}: not a readable checkpoint: use another one, or train again") from error


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


def saved_steps(directory: Path) -> int:
    """Count the optimizer steps in the run's newest checkpoint."""
    newest = read_newest(directory, partial(load_checkpoint, weights=False))
    return int(newest.content["global_step"]) if newest else 0
