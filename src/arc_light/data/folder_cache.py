"""Images that have been read and scaled once, kept in a file until their own files change."""

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

from arc_light.data.images import read_image

KEY_BYTES = 16
Bytes = NDArray[np.uint8]


class ImageCache:
    """Reads images, and keeps them in a file for the next time.

    An image is known by the name, size and time of its file. The cache is written whole or not at all, so that of
    several processes each finds a whole one; each image in it has a check sum, and one that is damaged is read again.
    Where nothing can be written, nothing is kept.

    Args:
        folder: where caches are; None keeps nothing.
        root: the folder that the images are in.
        part: of the images, train, val or test.
        shape: channels, height and width that they are scaled to.
    """

    def __init__(self, folder: Path | None, root: Path, part: str, shape: tuple[int, int, int]) -> None:
        self.root, self.shape = root, shape
        described = "\0".join(map(str, (root.absolute(), part, shape, pillow_version)))
        self.path = folder / f"{digest(described).hex()}.images" if folder else None

    def read(self, files: Sequence[Path]) -> Tensor:
        """Read image files, scaled, uint8 [N, C, H, W].

        Raises:
            InputError: one of them is not a readable image.
        """
        keys = self._keys(files)
        kept_keys, kept = self._load()
        if np.array_equal(keys, kept_keys):
            return torch.from_numpy(kept)
        images = np.empty((len(files), *self.shape), np.uint8)
        rows = {key.tobytes(): row for row, key in enumerate(kept_keys)}
        missing = []
        for i, key in enumerate(keys):
            row = rows.get(key.tobytes())
            if row is None:
                missing.append(i)
            else:
                images[i] = kept[row]
        self._read_files(files, missing, images)
        self._save(keys, images)
        return torch.from_numpy(images)

    def _read_files(self, files: Sequence[Path], missing: Sequence[int], images: Bytes) -> None:
        """Read what is missing into its place among the images."""

        def read(i: int) -> None:
            images[i] = read_image(files[i], self.shape).numpy()

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(read, missing))

    def _keys(self, files: Sequence[Path]) -> Bytes:
        """Tell the state of each file, [N, KEY_BYTES], before it is read."""
        keys = np.empty((len(files), KEY_BYTES), np.uint8)
        for key, file in zip(keys, files, strict=True):
            stat = file.stat()
            name = file.relative_to(self.root).as_posix()
            key[:] = np.frombuffer(digest(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}"), np.uint8)
        return keys

    def _load(self) -> tuple[Bytes, Bytes]:
        """Load keys, [N, KEY_BYTES], and images, [N, C, H, W], of all that is kept and whole."""
        if self.path is not None:
            with suppress(EOFError, MemoryError, OSError, TypeError, ValueError):  # there is none, or it is damaged
                return load_whole(self.path, self.shape)
        return np.empty((0, KEY_BYTES), np.uint8), np.empty((0, *self.shape), np.uint8)

    def _save(self, keys: Bytes, images: Bytes) -> None:
        """Write keys, check sums and images aside, and put them in place."""
        if self.path is None:
            return
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with aside.open("wb") as file:
                    for array in (keys, check_sums(keys, images), images):
                        np.save(file, array)
                aside.replace(self.path)
            finally:
                aside.unlink(missing_ok=True)


def load_whole(path: Path, shape: tuple[int, int, int]) -> tuple[Bytes, Bytes]:
    """Load keys, [N, KEY_BYTES], and images, [N, C, H, W], without those that are damaged.

    Raises:
        ValueError: the file is damaged as a whole; numpy raises others, too.
    """
    with path.open("rb") as file:
        keys, sums, images = (read_array(file) for _ in range(3))
    if images.shape != (len(keys), *shape) or images.dtype != np.uint8:
        raise ValueError(f"{path}: other images")
    whole = sums == check_sums(keys, images)
    return (keys, images) if whole.all() else (keys[whole], images[whole])


def digest(text: str) -> bytes:
    """Tell texts apart in a few bytes; names of files need not be Unicode."""
    return blake2b(text.encode(errors="surrogateescape"), digest_size=KEY_BYTES).digest()


def check_sums(keys: Bytes, images: Bytes) -> NDArray[np.uint32]:
    """Sum up each image together with its key, [N]."""
    sums = (crc32(image, crc32(key)) for key, image in zip(keys, images, strict=True))
    return np.fromiter(sums, np.uint32, len(keys))
