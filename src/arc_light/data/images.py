"""Image files."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from arc_light.errors import InputError

MODES = {1: "L", 3: "RGB"}  # by number of channels


def read_image(path: Path, shape: tuple[int, int, int]) -> Tensor:
    """Read an image file, scaled to cover `shape` and cropped at the centre.

    Args:
        path: a file of any format that Pillow reads.
        shape: channels, height and width to return.

    Returns:
        uint8 [C, H, W].

    Raises:
        InputError: the file is not a readable image.
    """
    channels, height, width = shape
    try:
        with Image.open(path) as image:
            image.draft(MODES[channels], (width, height))  # a JPEG is decoded at the nearest larger scale only
            upright = ImageOps.exif_transpose(image).convert(MODES[channels])
            fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image ({error}): replace or remove it") from error
    return torch.from_numpy(np.array(fitted)).view(height, width, channels).permute(2, 0, 1).contiguous()
