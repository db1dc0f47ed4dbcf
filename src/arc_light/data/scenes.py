"""Scenes with several digits, composed from the embedded ones, and the class of each pixel."""

from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

from lamphouse.data import Batch, ImageDataModule, Samples
from arc_light.data.digits import DigitsDataModule

SIDE, CELLS = 64, 3  # pixels of a scene; places for a digit in each direction
CELL = SIDE // CELLS  # pixels
PIECES, FEWEST, MOST = 4, 2, 6  # pieces of digits, and digits, in a scene
INK = 100  # opacity, 0..255, from which a pixel belongs to a digit
CHUNK = 256  # scenes that are composed at once, which a processor's cache holds


class ScenesDataModule(ImageDataModule):
    """Gray scenes of 64×64 pixels: two to six digits of various sizes before pieces of digits, shades and noise.

    Pixels are labelled with their digit, or as background. The embedded digits are split into those of training,
    validation and test before scenes are composed of them. The test scenes are the same for every seed, and all scenes
    are the same on every machine.

    Args:
        scenes: number of training scenes; validation and test have a fifth each.
        **kwargs: see `ImageDataModule`.
    """

    classes = ("background", *"0123456789")
    input_shape = (1, SIDE, SIDE)
    mean, std = (0.33,), (0.14,)

    def __init__(self, scenes: PositiveInt = 2000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scenes = scenes

    def load_train_and_val(self) -> dict[str, Samples]:
        """Split the digits, then compose scenes of each part."""
        how = {name: getattr(self, name) for name in ("val_fraction", "seed", "num_folds", "fold")}
        digits = DigitsDataModule(**how).load_train_and_val()
        train = compose(digits["train"], self.scenes, seed=2 * self.seed + 1)
        self.check_samples(train)
        return {"train": train, "val": compose(digits["val"], -(-self.scenes // 5), seed=2 * self.seed + 2)}

    def load(self, train: bool) -> Samples:
        """Compose scenes of the digits for training, or of those for the test."""
        return compose(DigitsDataModule().load(train), self.scenes if train else -(-self.scenes // 5), seed=0)


def compose(digits: Samples, scenes: int, seed: int) -> Samples:
    """Compose scenes, uint8 [N, 1, 64, 64], of digits, uint8 [M, 1, 8, 8]; label their pixels, uint8 [N, 64, 64]."""
    random = torch.Generator().manual_seed(seed)
    parts = [compose_chunk(digits, min(CHUNK, scenes - start), random) for start in range(0, scenes, CHUNK)]
    images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return Samples(images.unsqueeze(1), labels)


def compose_chunk(digits: Samples, n: int, random: torch.Generator) -> Batch:
    """Compose n scenes, in whole numbers."""

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, (n, *shape), generator=random)

    ramp = torch.arange(SIDE) - SIDE // 2
    slopes = draw(-2, 3, 2, 1, 1)
    shades = draw(50, 90, 1, 1) + (slopes[:, 0] * ramp + slopes[:, 1] * ramp[:, None]) // 4
    images = (shades + draw(-15, 16, SIDE, SIDE)).clamp_(min=0).int()
    labels = torch.zeros(n, SIDE, SIDE, dtype=torch.uint8)
    cells, count = draw(0, 2**40, CELLS**2).argsort(dim=1, stable=True), draw(FEWEST, MOST + 1)
    for number in range(-PIECES, MOST):  # pieces first
        is_piece = number < 0
        drawn, classes = digits[draw(0, len(digits))]
        kept = pieces(draw(0, 5, 2)) if is_piece else (number < count)[:, None, None]
        cell, size = draw(0, CELLS**2) if is_piece else cells[:, number], draw(14, 25)
        corner = torch.stack([cell // CELLS, cell % CELLS]) * CELL + (CELL - size) // 2 + draw(-3, 4, 2).T
        opacity = enlarge(drawn[:, 0] * kept, corner, size)
        brightness = draw(90, 200, 1, 1) if is_piece else draw(140, 256, 1, 1)
        images += (brightness.int() - images).mul_(opacity).bitwise_right_shift_(8)
        label = torch.zeros_like(classes) if is_piece else classes + 1
        labels = torch.where(opacity >= INK, label[:, None, None].byte(), labels)
    return images.byte(), labels


def pieces(corner: Tensor) -> Tensor:
    """Mark 4×4 of 8×8 pixels from a corner on, [N, 2]: bool [N, 8, 8]."""
    distance = torch.arange(8) - corner[..., None]
    inside = (distance >= 0) & (distance < 4)
    return inside[:, 0, :, None] & inside[:, 1, None]


def enlarge(digits: Tensor, corner: Tensor, size: Tensor) -> Tensor:
    """Enlarge digits, [N, 8, 8], to squares of scenes, int32 [N, 64, 64], by linear interpolation.

    Products and sums are whole numbers below 2²⁴, with which float32 is exact in every order.

    Args:
        digits: 0..255.
        corner: row and column of a square, [2, N].
        size: of its sides, [N].
    """
    scale = 2 * size[:, None, None]  # distances are in so many parts of a digit's pixel
    centers = 8 * (2 * (torch.arange(SIDE) - corner[..., None]) + 1)[..., None]  # of the scene's pixels, [2, N, 64, 1]
    distance = (centers - size[:, None, None] * (2 * torch.arange(8) + 1)).abs()
    rows, columns = (scale - distance).clamp(min=0).float()  # weights, [N, 64, 8]
    values: Tensor = rows @ digits.float() @ columns.mT / scale**2
    return values.int()
