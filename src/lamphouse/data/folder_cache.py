"""Samples that have been read and scaled once, kept in a file until their own files change."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.lib.format import read_array
from numpy.typing import NDArray
from PIL import __version__ as pillow_version
from torch import Tensor

from lamphouse.data.image_files import read_image, read_in_processes
from lamphouse.errors import InputError
from lamphouse.machine.settings import allowed_cores

BETWEEN = b"\0\0"  # keys, in which no two of these follow each other
FORKS = hasattr(os, "sched_getaffinity")  # on Linux a process starts in no time, for it imports nothing
MANY = 4096  # files, from which on processes pay for themselves
Bytes = NDArray[np.uint8]
Shape = tuple[int, int, int]


class ImageCache:
    """Reads images, and keeps them in a file for the next time.

    An image is known by the name, size and times of its file. The cache is written whole or not at all, so that of
    several processes each finds a whole one; each image in it has a check sum, and one that is damaged is read again.
    Where nothing can be written, nothing is kept.

    Args:
        folder: where caches are; None keeps nothing.
        root: the folder that the images are in.
        part: of the images, train, val or test.
        shape: channels, height and width that they are scaled to.
    """

    def __init__(self, folder: Path | None, root: Path, part: str, shape: Shape) -> None:
        self.root, self.shape = root, shape
        described = "\0".join(map(str, (root.absolute(), part, shape, pillow_version)))
        name = blake2b(os.fsencode(described), digest_size=16).hexdigest()
        self.path = folder / f"{name}.images" if folder else None

    def read(self, files: Sequence[str]) -> Tensor:
        """Read image files in `root`, scaled, uint8 [N, C, H, W].

        Raises:
            InputError: one of them is not a readable image.
        """
        keys = self._keys(files)
        kept_keys, kept = self._load()
        if keys == kept_keys:
            return torch.from_numpy(kept)
        images = np.empty((len(files), *self.shape), np.uint8)
        rows = {key: row for row, key in enumerate(kept_keys)}
        missing = []
        for i, key in enumerate(keys):
            if key in rows:
                images[i] = kept[rows[key]]
            else:
                missing.append(i)
        self._read_files(files, missing, images)
        self._save(keys, images)
        return torch.from_numpy(images)

    def _read_files(self, files: Sequence[str], missing: Sequence[int], images: Bytes) -> None:
        """Read what is missing into its place among the images."""

        def read(i: int) -> None:
            images[i] = read_image(Path(files[i]), self.shape).numpy()

        if FORKS and len(missing) >= MANY:
            for i, image in zip(missing, read_in_processes([files[i] for i in missing], self.shape), strict=True):
                images[i] = image
        else:
            with ThreadPoolExecutor(allowed_cores()) as pool:
                list(pool.map(read, missing))

    def _keys(self, files: Sequence[str]) -> list[bytes]:
        """Tell the state of each file before it is read; a name holds no zero.

        Raises:
            InputError: there is no file behind a name.
        """
        begin = len(str(self.root))
        try:
            states = [os.stat(file) for file in files]  # noqa: PTH116  # takes a third of the time of Path's
        except OSError as error:
            what = f"not a readable image ({error.strerror})"
            raise InputError(f"{error.filename}: {what}: replace or remove it") from error
        times = (f"{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}" for state in states)
        return [os.fsencode(f"{file[begin:]}\0{time}") for file, time in zip(files, times, strict=True)]

    def _load(self) -> tuple[list[bytes], Bytes]:
        """Load keys and images, [N, C, H, W], of all that is kept and whole."""
        if self.path is not None:
            with suppress(EOFError, MemoryError, OSError, TypeError, ValueError):  # there is none, or it is damaged
                return load_whole(self.path, self.shape)
        return [], np.empty((0, *self.shape), np.uint8)

    def _save(self, keys: Sequence[bytes], images: Bytes) -> None:
        """Write keys, check sums and images aside, and put them in place."""
        if self.path is None:
            return
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with aside.open("wb") as file:
                    for array in (np.frombuffer(BETWEEN.join(keys), np.uint8), check_sums(keys, images), images):
                        np.save(file, array)
                aside.replace(self.path)
            finally:
                aside.unlink(missing_ok=True)


def load_whole(path: Path, shape: Shape) -> tuple[list[bytes], Bytes]:
    """Load keys and images, [N, C, H, W], without those that are damaged.

    Raises:
        ValueError: the file is damaged as a whole; numpy raises others, too.
    """
    with path.open("rb") as file:
        joined, sums, images = (read_array(file) for _ in range(3))
    keys = joined.tobytes().split(BETWEEN)
    if images.shape != (len(keys), *shape) or images.dtype != np.uint8:
        raise ValueError(f"{path}: other images")
    whole = sums == check_sums(keys, images)
    return (keys, images) if whole.all() else ([keys[i] for i in whole.nonzero()[0]], images[whole])


def check_sums(keys: Sequence[bytes], images: Bytes) -> NDArray[np.uint32]:
    """Sum up each image together with its key, [N]."""
    sums = (crc32(image, crc32(key)) for key, image in zip(keys, images, strict=True))
    return np.fromiter(sums, np.uint32, len(keys))
