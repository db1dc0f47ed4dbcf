"""Image files: found, read to a given number of channels, height and width, and a cache of what was read."""

import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL import __version__ as pillow_version
from torch import Tensor

from lamphouse.errors import InputError
from lamphouse.files import printable, written_whole

MODES = {1: "L", 3: "RGB"}  # by number of channels
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others start programs (EPS) or are no photographs
EXTENSIONS = {
    *(".apng", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
}
HIDDEN = (".", "__MACOSX")  # beginnings of names
BITS_PER_SAMPLE = 258  # a tag of TIFF files
BLOCK = 4096  # files that threads are given at a time
MAX_PIXELS = 2**26  # to decode: 256 MiB of memory
Shape = tuple[int, int, int]  # channels, height, width


@dataclass
class FoundImages:
    """Image files in and below a folder, and how many other entries were skipped, by what they are."""

    files: list[str] = field(default_factory=list)
    nested: int = 0  # of the files, in folders within
    skipped: Counter[str] = field(default_factory=Counter)


def find_images(folder: Path | str) -> FoundImages:
    """Find image files in and below a folder in torchvision's order; links are followed, to each folder once.

    Raises:
        InputError: a folder cannot be read.
    """
    found, seen = FoundImages(), set()
    folders = [str(folder)] if Path(folder).exists() else []
    for path in folders:  # to which those below are added
        if (real := os.path.realpath(path)) in seen:
            continue
        seen.add(real)
        for entry in sorted_entries(path):
            match kind_of(entry):
                case "folder":
                    folders.append(entry.path)
                case "image":
                    found.files.append(entry.path)
                    found.nested += path != str(folder)
                case kind:
                    found.skipped[kind] += 1
    found.files.sort(key=os.path.split)
    return found


def kind_of(entry: os.DirEntry[str]) -> str:
    """Return "hidden", "folder", "image", or the extension of another file."""
    if entry.name.startswith(HIDDEN):
        return "hidden"
    if entry.is_dir():
        return "folder"
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  # there may be a million of them
    return "image" if suffix in EXTENSIONS else suffix or "no extension"


def sorted_entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """List what is in a folder; raise an `InputError` if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: no folder of images ({error.strerror}): give another one") from error


def read_image(path: Path | str, shape: Shape) -> NDArray[np.uint8]:
    """Read an image file, scaled to cover `shape` and cropped at the center, uint8 [C, H, W]."""
    channels, height, width = shape
    if not os.path.isfile(path):  # noqa: PTH113  # but a pipe, say, which could make the reader wait forever
        raise InputError(f"{path}: not a readable image (no such file): replace or remove it")
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.draft(MODES[channels], (width, height))  # decodes a JPEG at the nearest larger scale
            fitted = ImageOps.fit(decode(image).convert(MODES[channels]), (width, height), Image.Resampling.BILINEAR)
            values = np.asarray(fitted).reshape(height, width, channels)
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        raise InputError(f"{path}: not a readable image ({error}): replace or remove it") from error
    return values.transpose(2, 0, 1).copy()


def decode(image: Image.Image) -> Image.Image:
    """Decode an image, upright, with 12- or 16-bit gray levels scaled to 8: Pillow would turn all above 255 white.

    Raises:
        ValueError: too many pixels, or pixels of 32 bits, whose range is not known.
    """
    if math.prod(image.size) > MAX_PIXELS:
        raise ValueError(f"{image.width} by {image.height}: expected up to {MAX_PIXELS:,} pixels")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):
        (bits,) = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))
        levels = np.array(image)
        if bits == 16 and levels.max() < 2**12:
            note_dark()
        return Image.fromarray((levels >> bits - 8).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise ValueError("32 bits a pixel: expected 8 or 16")
    return image


@cache
def note_dark() -> None:
    """Say once that files of 16 bits seem to come from a 12-bit camera."""
    way_out = "if that is so in all files, multiply them by 16 for the full range"
    print(f"note: an image file of 16 bits has no gray level above 4,095, so it is dark: {way_out}", file=sys.stderr)


def read_images(files: Sequence[str], shape: Shape, cache: Path | None) -> Tensor:
    """Read image files, uint8 [N, C, H, W], or take them from `cache` if they have not changed since it was written."""
    state = digest_of(files, shape)
    with suppress(Exception), (cache or Path(os.devnull)).open("rb") as file:  # a damaged one raises almost anything
        cached_state, checksum = np.load(file), np.load(file)
        # mapped: the images take no memory that the system cannot have back, and are not copied
        cached = np.memmap(file, np.uint8, "c", file.tell())
        if cached_state == state and checksum == crc32(cached.data):
            return torch.from_numpy(cached.reshape(len(files), *shape))
    images = np.empty((len(files), *shape), np.uint8)
    for i, image in enumerate(in_threads(partial(read_image, shape=shape), files)):
        images[i] = image
    if cache:
        with suppress(OSError):  # training goes on without a cache
            cache.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(cache) as file:
                for array in (state, crc32(images.data)):
                    np.save(file, array)
                file.write(images.data)
    return torch.from_numpy(images)


def in_threads(function: Callable[[str], Any], files: Sequence[str]) -> Iterator[Any]:
    """Call a function for each file, in several threads; a million pending calls would take a gigabyte."""
    with ThreadPoolExecutor() as threads:
        for first in range(0, len(files), BLOCK):
            yield from threads.map(function, files[first : first + BLOCK])


class ImageFiles:
    """Image files and their labels, read when they are indexed.

    Args:
        files: with the label of each.
        shape: into which images are brought: channels, height, width.
    """

    rows = None  # all of them

    def __init__(self, files: Sequence[tuple[str, int]], shape: Shape) -> None:
        self.paths, self.shape = [path for path, _ in files], shape
        self.inputs, self.targets = torch.empty(0, *shape, dtype=torch.uint8), torch.tensor([one for _, one in files])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: slice) -> tuple[Tensor, Tensor]:
        try:
            return read_images(self.paths[indices], self.shape, None), self.targets[indices]
        except InputError:
            refuse_unreadable(self.paths, self.shape)  # all of them at once
            raise


def refuse_unreadable(files: Sequence[str], shape: Shape) -> None:
    """Print every file that is not a readable image, and raise an `InputError`; for a single one, only raise it."""
    refuse_all([*filter(None, in_threads(partial(error_of, shape=shape), files))])


def refuse_all(errors: Sequence[InputError], way_out: str = "replace or remove them") -> None:
    """Raise the error if there is one; if there are several, print each, and raise one that counts them."""
    if len(errors) > 1:
        for error in errors:
            print(printable(str(error)), file=sys.stderr)
        raise InputError(f"{len(errors)} files are not readable, listed above: {way_out}")
    if errors:
        raise errors[0]


def error_of(path: str, shape: Shape) -> InputError | None:
    """Return what is wrong with an image file, if anything."""
    try:
        read_image(path, shape)
    except InputError as error:
        return error
    return None


def digest_of(files: Sequence[str], shape: Shape) -> str:
    """Identify the state of files by their names, sizes and times."""
    digest = blake2b(f"{shape} {pillow_version}".encode(), digest_size=16)
    for file in files:
        with suppress(OSError):  # of a link to nowhere, which cannot be read either
            state = os.stat(file)  # noqa: PTH116  # three times as fast as Path's
            digest.update(os.fsencode(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}\0"))
    return digest.hexdigest()
