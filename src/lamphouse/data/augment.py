"""Augmentations of whole batches, on the device that holds them.

Each is a pure function of the images and of numbers drawn for each image beforehand, so that what happens to an
image depends on the seed, the epoch and the image alone: not on the batch it is in, on workers or on devices.
"""

import math
from abc import ABC, abstractmethod

import torch
from jsonargparse.typing import ClosedUnitInterval, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional as F


class Augmentation(ABC):
    """A random change of each image on its own (abstract).

    `draws` says how many numbers, uniform in [0, 1), an image needs. Where it `alternates`, they are drawn once and go
    half way round, from 0.2 to 0.7 say, with each epoch. `epoch` is set before each call.
    """

    draws: int
    alternates = False
    epoch = 0

    @abstractmethod
    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change images, [B, C, H, W] with values 0..255, by draws, [B, self.draws]."""


class RandomFlip(Augmentation):
    """Mirror left and right with probability `p`."""

    draws = 1

    def __init__(self, p: ClosedUnitInterval = 0.5) -> None:
        self.p = p

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Mirror the images whose draw is below `p`."""
        return mirrored(images, draws[:, 0] < self.p)


class AlternatingFlip(Augmentation):
    """Mirror each image in every other epoch, half of them first (Jordan 2024, arXiv:2404.00498, section 3.6)."""

    draws = 1
    alternates = True

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Mirror the images whose draw is in the lower half now."""
        return mirrored(images, draws[:, 0] < 0.5)


def mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror left and right the chosen ones, bool [B], of images, [B, C, H, W]."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


class RandomCrop(Augmentation):
    """Shift by up to `padding` pixels each way: pad, then crop to the old size.

    Args:
        padding: pixels on each side.
        reflect: fill the border with the mirrored image, not with black.
    """

    draws = 2

    def __init__(self, padding: NonNegativeInt = 4, reflect: bool = False) -> None:
        self.padding, self.mode = padding, "reflect" if reflect else "constant"

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Crop each image at an offset of its own."""
        height, width = images.shape[-2:]
        padded = F.pad(images.float() if self.mode == "reflect" else images, (self.padding,) * 4, self.mode)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, offsets, offsets, H, W], a view
        offsets = (draws * (2 * self.padding + 1)).long()
        crops: Tensor = windows[torch.arange(len(images), device=images.device), :, offsets[:, 0], offsets[:, 1]]
        return crops


class SmallFirst(Augmentation):
    """Shrink images in the first epochs, which learn as well from less (Tan & Le 2021, arXiv:2104.00298, section 4).

    For networks that take images of any size.

    Args:
        scale: share of each side that is left.
        epochs: how many have smaller images.
    """

    draws = 0

    def __init__(self, scale: ClosedUnitInterval = 0.75, epochs: NonNegativeInt = 1) -> None:
        self.scale, self.epochs = scale, epochs

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Shrink, each new pixel the mean of what it covers, with bilinear weights."""
        if self.epoch >= self.epochs:
            return images
        size = [max(1, round(self.scale * side)) for side in images.shape[-2:]]
        return F.interpolate(images.float(), size, mode="bilinear", antialias=True)


class Cutout(Augmentation):
    """Blacken a square at a random place, which may reach over the border (DeVries & Taylor 2017, arXiv:1708.04552).

    Args:
        size: side of the square in pixels.
    """

    draws = 2

    def __init__(self, size: PositiveInt = 8) -> None:
        self.size = size

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Blacken one square in each image."""
        height, width = images.shape[-2:]
        rows = self._covered(draws[:, 0], height)
        columns = self._covered(draws[:, 1], width)
        return images.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0)

    def _covered(self, draws: Tensor, length: int) -> Tensor:
        """Mark the rows or columns of the square, bool [B, length], its centre uniform over the image."""
        start = (draws * length).long() - self.size // 2
        position = torch.arange(length, device=draws.device)
        covered: Tensor = (position >= start[:, None]) & (position < start[:, None] + self.size)
        return covered


class RandomResizedCrop(Augmentation):
    """Crop a random part and stretch it to the old size (Szegedy et al. 2015, arXiv:1409.4842, section 6).

    Args:
        min_scale: smallest part of the area, 0..1.
        max_ratio: greatest ratio of the sides of the part, either way, 1 or more.

    Raises:
        ValueError: `max_ratio` is less than 1.
    """

    draws = 4

    def __init__(self, min_scale: ClosedUnitInterval = 0.35, max_ratio: float = 4 / 3) -> None:
        if not max_ratio >= 1:
            raise ValueError(f"--data.augment.max_ratio {max_ratio}: expected a value >=1")
        self.min_scale, self.max_ratio = min_scale, max_ratio

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Stretch a part of each image, bilinearly."""
        area = self.min_scale + (1 - self.min_scale) * draws[:, 0]
        ratio = torch.exp((2 * draws[:, 1] - 1) * math.log(self.max_ratio))
        sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)  # width, height; 0..1
        centres = (2 * draws[:, 2:] - 1) * (1 - sides)  # -1..1, so that the part stays inside
        theta = torch.diag_embed(sides)  # [B, 2, 2]
        grid = F.affine_grid(torch.cat([theta, centres.unsqueeze(2)], dim=2), list(images.shape), align_corners=False)
        stretched: Tensor = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        return stretched
