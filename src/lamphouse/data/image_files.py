"""Image files, read to a given number of channels, height and width, and a cache of what was read."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL import __version__ as pillow_version
from torch import Tensor

from lamphouse.errors import InputError
from lamphouse.files import written_whole

MODES = {1: "L", 3: "RGB"}  # by number of channels
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others start programs (EPS) or are no photographs
MAX_PIXELS = 2**26  # to decode: 256 MiB of memory
Shape = tuple[int, int, int]  # channels, height, width


def read_image(path: Path | str, shape: Shape) -> NDArray[np.uint8]:
    """Read an image file, scaled to cover `shape` and cropped at the center, uint8 [C, H, W]."""
    channels, height, width = shape
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.draft(MODES[channels], (width, height))  # decodes a JPEG at the nearest larger scale
            fitted = ImageOps.fit(decode(image).convert(MODES[channels]), (width, height), Image.Resampling.BILINEAR)
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


def read_images(files: Sequence[str], shape: Shape, cache: Path | None) -> Tensor:
    """Read image files, uint8 [N, C, H, W], or take them from `cache` if they have not changed since it was written."""
    state = digest_of(files, shape)
    with suppress(Exception), (cache or Path(os.devnull)).open("rb") as file:  # a damaged one raises almost anything
        cached_state, checksum, cached = (np.load(file) for _ in range(3))
        if cached_state == state and checksum == crc32(cached.data):
            return torch.from_numpy(cached.view(np.uint8).reshape(len(files), *shape))
    images = np.empty((len(files), *shape), np.uint8)
    with ThreadPoolExecutor() as threads:
        for i, image in enumerate(threads.map(partial(read_image, shape=shape), files)):
            images[i] = image
    if cache:
        with suppress(OSError):  # training goes on without a cache
            cache.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(cache) as file:
                for array in (state, crc32(images.data), images):
                    np.save(file, array)
    return torch.from_numpy(images)


def digest_of(files: Sequence[str], shape: Shape) -> str:
    """Identify the state of files by their names, sizes and times."""
    digest = blake2b(f"{shape} {pillow_version}".encode(), digest_size=16)
    for file in files:
        with suppress(OSError):  # of a link to nowhere, which cannot be read either
            state = os.stat(file)  # noqa: PTH116  # three times as fast as Path's
            digest.update(os.fsencode(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}\0"))
    return digest.hexdigest()
