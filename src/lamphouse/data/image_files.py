"""Image files, read to a given number of channels, height and width."""

import ctypes
import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lamphouse.errors import InputError

MODES = {1: "L", 3: "RGB"}  # by number of channels
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others start programs (EPS) or are no photographs
MAX_PIXELS = 2**26  # to decode: 256 MiB of memory
FORKS = sys.platform == "linux"  # a forked process starts at once, with everything imported
MANY_FILES = 4096  # from which on processes pay off
CHUNK = 64  # files that a process reads at a time
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl.h


def read_image(path: Path | str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Read an image file, scaled to cover `shape` and cropped at the center.

    Args:
        path: a file in one of `FORMATS`.
        shape: channels, height and width to return.

    Returns:
        uint8 [C, H, W].

    Raises:
        InputError: the file is not a readable image, or decoding it would take too much memory.
    """
    channels, height, width = shape
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.draft(MODES[channels], (width, height))  # decodes a JPEG at the nearest larger scale
            fitted = decode(image)
            if fitted.mode != MODES[channels]:  # without the conditions, small images would be copied twice
                fitted = fitted.convert(MODES[channels])
            if fitted.size != (width, height):
                fitted = ImageOps.fit(fitted, (width, height), Image.Resampling.BILINEAR)
            values = np.asarray(fitted).reshape(height, width, channels)
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        raise InputError(f"{path}: not a readable image ({error}): replace or remove it") from error
    return values.transpose(2, 0, 1).copy()


def decode(image: Image.Image) -> Image.Image:
    """Decode an image, upright, with 16-bit gray levels scaled to 8 bits: Pillow would turn all above 255 white."""
    if math.prod(image.size) > MAX_PIXELS:
        raise ValueError(f"{image.width} by {image.height}: expected up to {MAX_PIXELS:,} pixels")
    ImageOps.exif_transpose(image, in_place=True)
    return Image.fromarray((np.array(image) >> 8).astype(np.uint8)) if image.mode.startswith("I;16") else image


def read_images(paths: Sequence[str], shape: tuple[int, int, int]) -> Iterator[NDArray[np.uint8]]:
    """Read image files in parallel, in threads, or in processes if there are many: Python's own work adds up then."""
    read = partial(read_image, shape=shape)
    if not FORKS or len(paths) < MANY_FILES:
        with ThreadPoolExecutor() as threads:
            yield from threads.map(read, paths)
        return
    cores = min(16, len(os.sched_getaffinity(0)))
    with catch_warnings(), ProcessPoolExecutor(cores, get_context("fork"), leave_with_parent) as processes:
        simplefilter("ignore", DeprecationWarning)  # about forks of a process with threads: no lock of theirs is used
        yield from processes.map(read, paths, chunksize=CHUNK)


def leave_with_parent() -> None:
    """Have Linux kill this process with its parent, for which it would wait forever; leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
