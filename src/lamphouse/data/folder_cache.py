"""A cache of scaled images, each valid until its file changes."""

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import __version__ as pillow_version
from torch import Tensor

from lamphouse.data.image_files import read_images
from lamphouse.errors import InputError
from lamphouse.files import written_whole

Shape = tuple[int, int, int]
Cached = tuple[list[bytes], NDArray[np.uint8]]  # keys, and images [N, C, H, W]


def cache_path(folder: Path, root: Path, part: str, shape: Shape) -> Path:
    """Name the cache of a part, train, val or test, of the images in `root`, scaled to `shape`."""
    described = "\0".join(map(str, (root.absolute(), part, shape, pillow_version)))
    return folder / f"{blake2b(os.fsencode(described), digest_size=16).hexdigest()}.images"


def read_cached(files: Sequence[str], shape: Shape, path: Path | None) -> Tensor:
    """Read image files, as far as they are not in the cache at `path`, and update it; None keeps none.

    An image is identified by the name, size and times of its file. The cache is replaced as a whole, so several
    processes can use it at once, and has a checksum: a damaged one is not used. It may be impossible to write.

    Returns:
        uint8 [N, C, H, W].

    Raises:
        InputError: a file is not a readable image.
    """
    keys = identify(files)
    cached_keys, cached = load(path, shape)
    if keys == cached_keys:
        return torch.from_numpy(cached)
    images = np.empty((len(files), *shape), np.uint8)
    rows = {key: row for row, key in enumerate(cached_keys)}
    for i, key in enumerate(keys):
        if key in rows:
            images[i] = cached[rows[key]]
    missing = [i for i, key in enumerate(keys) if key not in rows]
    for i, image in zip(missing, read_images([files[i] for i in missing], shape), strict=True):
        images[i] = image
    if path:
        save(path, (keys, images))
    return torch.from_numpy(images)


def identify(files: Sequence[str]) -> list[bytes]:
    """Return a key for each file in its present state."""
    try:
        states = [os.stat(file) for file in files]  # noqa: PTH116  # three times as fast as Path's
    except OSError as error:  # of a link to nowhere
        reason = f"not a readable image ({error.strerror})"
        raise InputError(f"{error.filename}: {reason}: replace or remove it") from error
    times = (f"{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}" for state in states)
    return [os.fsencode(f"{file}\0{time}") for file, time in zip(files, times, strict=True)]


def load(path: Path | None, shape: Shape) -> Cached:
    """Load a cache, which is empty if the file is missing or damaged."""
    with suppress(Exception), (path or Path(os.devnull)).open("rb") as file:  # damage makes numpy raise anything
        keys, images, checksum = (np.load(file) for _ in range(3))
        if images.shape == (len(keys), *shape) and checksum == crc32(images, crc32(keys)):
            return keys.tolist(), images.view(np.uint8)
    return [], np.empty((0, *shape), np.uint8)


def save(path: Path, cached: Cached) -> None:
    """Replace a cache, if that is possible."""
    keys, images = np.array(cached[0], np.bytes_), cached[1]
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            for array in (keys, images, np.uint32(crc32(images.data, crc32(keys.data)))):
                np.save(file, array)
