"""A small U-Net."""

from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from lamphouse.errors import InputError
from arc_light.segmentation import Segmenter


class DoubleConv(nn.Sequential):
    """Twice: 3×3 convolution, batch normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """An encoder and a decoder, with skip connections between feature maps of the same size.

    O. Ronneberger, P. Fischer, T. Brox 2015, arXiv:1505.04597, with batch normalization and padding, so that logits
    have the size of the images.

    Args:
        channels: of the images.
        num_classes: number of logits of each pixel.
        width: channels at full size; each level below has twice as many.
        levels: how many times images are halved.
    """

    def __init__(self, channels: int, num_classes: int, width: int = 16, levels: int = 3) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels + 1)]
        self.down = nn.ModuleList(map(DoubleConv, [channels, *widths], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1])
        self.join = nn.ModuleList(DoubleConv(2 * w, w) for w in widths[:-1])
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images, float [B, C, H, W], to logits, [B, num_classes, H, W]."""
        skips: list[Tensor] = []  # one for each size
        for level, block in enumerate(self.down):
            images = block(nn.functional.max_pool2d(images, 2) if level else images)
            skips.append(images)
        images = skips.pop()
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            images = join(torch.cat([skips.pop(), up(images)], 1))
        logits: Tensor = self.head(images)
        return logits


class UNetSegmenter(Segmenter):
    """A small U-Net; by default 16 to 128 channels, 0.5 million parameters.

    Args:
        width: channels at full size; each level below has twice as many.
        levels: how many times images are halved, which their height and width have to allow.
        **kwargs: see `Segmenter`.

    Raises:
        InputError: images cannot be halved so often.
    """

    def __init__(self, width: PositiveInt = 16, levels: PositiveInt = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        channels, *size = self.input_shape
        if any(side % 2**levels for side in size):
            text = f"images of {' by '.join(map(str, size))} cannot be halved {levels} times"
            raise InputError(f"--model.levels {levels}: {text}: choose fewer, or sides that {2**levels} divides")
        self.network = UNet(channels, self.num_classes, width, levels)
