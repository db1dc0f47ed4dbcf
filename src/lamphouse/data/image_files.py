"""Image files."""

import ctypes
import math
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader

from lamphouse.errors import InputError
from lamphouse.machine.settings import allowed_cores

MODES = {1: "L", 3: "RGB"}  # by number of channels
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others start programs (EPS) or are no photographs
MOST_PIXELS = 2**26  # to decode, 256 MiB of memory
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl.h
CHUNK = 64  # images that a process hands over at once


def read_image(path: Path, shape: tuple[int, int, int]) -> Tensor:
    """Read an image file, scaled to cover `shape` and cropped at the centre.

    Args:
        path: a file of one of `FORMATS`.
        shape: channels, height and width to return.

    Returns:
        uint8 [C, H, W].

    Raises:
        InputError: the file is not a readable image, or would take too much memory.
    """
    channels, height, width = shape
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.draft(MODES[channels], (width, height))  # a JPEG is decoded at the nearest larger scale only
            check_size(image)
            ImageOps.exif_transpose(image, in_place=True)
            fitted = of_bytes(image)
            if fitted.mode != MODES[channels]:  # or it would be copied, and so below: small images feel it
                fitted = fitted.convert(MODES[channels])
            if fitted.size != (width, height):
                fitted = ImageOps.fit(fitted, (width, height), Image.Resampling.BILINEAR)
            values = np.asarray(fitted).reshape(height, width, channels)
    except Exception as error:  # a damaged file makes Pillow raise about anything
        raise InputError(f"{path}: not a readable image ({error}): replace or remove it") from error
    return torch.from_numpy(values.transpose(2, 0, 1).copy())


def check_size(image: Image.Image) -> None:
    """Refuse an image that would take too much memory to decode.

    Raises:
        ValueError: it has too many pixels.
    """
    if math.prod(image.size) > MOST_PIXELS:
        raise ValueError(f"{image.width} by {image.height}: expected up to {MOST_PIXELS:,} pixels")


def of_bytes(image: Image.Image) -> Image.Image:
    """Bring grey levels of 16 bits to 8, where Pillow's own conversion makes all above 255 white."""
    return Image.fromarray((np.array(image) >> 8).astype(np.uint8)) if image.mode.startswith("I;16") else image


def read_in_processes(paths: Sequence[str], shape: tuple[int, int, int]) -> Iterator[NDArray[np.uint8]]:
    """Read many small image files, for which Python's own work counts, on Linux.

    Returns:
        What `read_image` returns, in the order of the paths.

    Raises:
        InputError: one of them is not a readable image.
    """
    loader: DataLoader[Any] = DataLoader(
        [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)],  # type: ignore[arg-type]  # a list is a data set
        batch_size=None,
        num_workers=allowed_cores(),
        collate_fn=partial(read_chunk, shape=shape),
        generator=torch.Generator(),  # the global one stays where it is
        worker_init_fn=end_with_parent,
        multiprocessing_context="fork",
    )
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: nothing of theirs is used
        for images in loader:
            if isinstance(images, InputError):
                raise images
            yield from images


def end_with_parent(_: int) -> None:
    """Have Linux kill this process if the one that started it is killed, or it would wait to be heard for ever."""
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


def read_chunk(paths: Sequence[str], shape: tuple[int, int, int]) -> NDArray[np.uint8] | InputError:
    """Read a few image files, [N, C, H, W], or return what is wrong: raised, it would lose its one line."""
    try:
        return np.stack([read_image(Path(path), shape).numpy() for path in paths])
    except InputError as error:
        return error
