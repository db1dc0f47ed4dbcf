"""Augmentations of whole batches of images, on their device.

The result for an image depends on the seed, the epoch and the image alone: not on its batch, on workers or on devices.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from jsonargparse.typing import ClosedUnitInterval, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F


class Augmentation(ABC):
    """A random change of each image (abstract).

    Attributes:
        draws: random numbers that an image needs, uniform in [0, 1).
        alternates: draw them in the first epoch only, and add 0.5, modulo 1, in every other epoch.
        resizes: its images have a size of their own.
        epoch, num_classes: set before each call.
    """

    draws: int
    alternates = resizes = False
    epoch = num_classes = 0

    @abstractmethod
    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change images with values 0..255, [B, C, H, W], by draws, [B, self.draws]."""

    def augment(self, images: Tensor, targets: Any, draws: Tensor) -> tuple[Tensor, Any]:
        """Change a batch; by default its images alone."""
        return self(images, draws), targets


class RandomFlip(Augmentation):
    """Flip images horizontally with probability `p`."""

    draws = 1

    def __init__(self, p: ClosedUnitInterval = 0.5) -> None:
        self.p = p

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        return flip(images, draws < self.p)


class AlternatingFlip(Augmentation):
    """Flip each image in every other epoch, half of them in the first (Jordan 2024, arXiv:2404.00498, section 3.6)."""

    draws = 1
    alternates = True

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        return flip(images, draws < 0.5)


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Flip the chosen images, bool [B, 1], horizontally."""
    return torch.where(chosen[:, :, None, None], images.flip(-1), images)


class RandomCrop(Augmentation):
    """Pad images and crop them to their size, which shifts them by up to `padding` pixels.

    Args:
        padding: pixels on each side.
        reflect: pad with the reflected image instead of black.
    """

    draws = 2

    def __init__(self, padding: NonNegativeInt = 4, reflect: bool = False) -> None:
        self.padding, self.mode = padding, "reflect" if reflect else "constant"

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = F.pad(images.float() if self.mode == "reflect" else images, (self.padding,) * 4, self.mode)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, offsets, offsets, H, W], a view
        offsets = (draws * (2 * self.padding + 1)).long()
        crops: Tensor = windows[torch.arange(len(images), device=images.device), :, offsets[:, 0], offsets[:, 1]]
        return crops


class SmallFirst(Augmentation):
    """Shrink images in the first epochs (progressive learning; Tan & Le 2021, arXiv:2104.00298, section 4).

    Args:
        scale: factor for height and width.
        epochs: number of epochs with smaller images.
    """

    draws = 0

    def __init__(self, scale: ClosedUnitInterval = 0.75, epochs: NonNegativeInt = 1) -> None:
        self.scale, self.epochs = scale, epochs

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        if self.epoch >= self.epochs:
            return images
        size = [max(1, round(self.scale * side)) for side in images.shape[-2:]]
        return F.interpolate(images.float(), size, mode="bilinear", antialias=True)


class RandomResizedCrop(Augmentation):
    """Crop a random part and resize it (Szegedy et al. 2015, arXiv:1409.4842, section 6).

    Args:
        min_scale: smallest area of the part, 0..1 of the image.
        max_ratio: largest ratio of its sides, either way, 1 or more.
        size: height and width of the result in pixels; None is the size of the image. Images of which even the smallest
            part is larger are scaled down first, as `grid_sample` averages over no more than its nearest pixels.
    """

    draws = 4

    def __init__(
        self, min_scale: ClosedUnitInterval = 0.35, max_ratio: float = 4 / 3, size: PositiveInt | None = None
    ) -> None:
        if not max_ratio >= 1:
            raise ValueError(f"--data.augment.max_ratio {max_ratio}: expected a value >=1")
        self.min_scale, self.max_ratio, self.size, self.resizes = min_scale, max_ratio, size, size is not None

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        area = self.min_scale + (1 - self.min_scale) * draws[:, 0]
        ratio = torch.exp((2 * draws[:, 1] - 1) * math.log(self.max_ratio))
        sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)  # width, height; 0..1
        centers = (2 * draws[:, 2:] - 1) * (1 - sides)  # -1..1, so that the part stays inside
        theta = torch.cat([torch.diag_embed(sides), centers.unsqueeze(2)], dim=2)  # [B, 2, 3]
        size, images = [self.size] * 2 if self.size else images.shape[-2:], images.float()
        if self.size and (smallest := self.min_scale**0.5 * min(images.shape[-2:])) > self.size:
            scaled = [round(side * self.size / smallest) for side in images.shape[-2:]]
            images = F.interpolate(images, scaled, mode="bilinear", antialias=True)
        grid = F.affine_grid(theta, [*images.shape[:2], *size], align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


class Mixture(Augmentation):
    """Mix each image of a batch, and its label, with those of the image before it (abstract).

    Labels become the probabilities of the classes, [B, num_classes]. Unlike other augmentations, the result depends on
    the batch, and so on the batch size and the number of processes.

    Args:
        alpha: parameter of the Beta distribution of the shares; larger values mix more evenly.
    """

    draws = 1
    transform: str  # class in torchvision.transforms.v2

    def __init__(self, alpha: PositiveFloat = 1.0) -> None:
        self.alpha = alpha

    @cached_property
    def mixer(self) -> Any:
        transforms = import_module("torchvision.transforms.v2")  # late, for it takes long
        return getattr(transforms, self.transform)(num_classes=self.num_classes, alpha=self.alpha)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        return self.augment(images, torch.zeros(len(images), dtype=torch.long, device=images.device), draws)[0]

    def augment(self, images: Tensor, targets: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Mix images, [B, C, H, W], and labels, int64 [B], by the first of the draws."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(draws[0].item() * 2**24))  # draws are float32
            mixed: tuple[Tensor, Tensor] = self.mixer(images.float(), targets)
        return mixed


class MixUp(Mixture):
    """Average pairs of images and of labels (Zhang et al. 2018, arXiv:1710.09412)."""

    transform = "MixUp"


class CutMix(Mixture):
    """Paste a rectangle of one image into another, with labels by area (Yun et al. 2019, arXiv:1905.04899)."""

    transform = "CutMix"


def mean_over_views(network: Callable[[Tensor], Tensor], images: Tensor, flip: bool, shift: int) -> Tensor:
    """Average outputs, [B, ...], over views of images, [B, C, H, W], as at test time in Jordan 2024, section 3.5.

    Args:
        network: maps images to outputs.
        images: normalised or not.
        flip: also the mirror image, with the same weight.
        shift: pixels; also the image moved by so many down and right and up and left, each with half its weight.
    """

    def mirrored(view: Tensor) -> Tensor:
        outputs = network(torch.cat([view, view.flip(-1)]) if flip else view)
        return outputs.unflatten(0, (2, -1)).mean(0) if flip else outputs

    if not shift:
        return mirrored(images)
    height, width = images.shape[-2:]
    padded = F.pad(images, [shift] * 4, "reflect")
    ends = mirrored(padded[..., :height, :width]), mirrored(padded[..., 2 * shift :, 2 * shift :])
    return mirrored(images) / 2 + (ends[0] + ends[1]) / 4
