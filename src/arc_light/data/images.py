"""Image files."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from arc_light.errors import InputError

MODES = {1: "L", 3: "RGB"}  # by number of channels
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others start programs (EPS) or are no photographs
MOST_PIXELS = 2**26  # to decode, 256 MiB of memory


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
            upright = of_bytes(image).convert(MODES[channels])
            fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # a damaged file makes Pillow raise about anything
        raise InputError(f"{path}: not a readable image ({error}): replace or remove it") from error
    return torch.from_numpy(np.array(fitted)).view(height, width, channels).permute(2, 0, 1).contiguous()


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
