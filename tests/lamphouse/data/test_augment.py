"""Augmentations against references that handle one image at a time, pixel by pixel."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamphouse.data import (
    AlternatingFlip,
    Augmentation,
    CutMix,
    MixUp,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    SmallFirst,
    mean_over_views,
)
from lamphouse.data.augment import Mixture

Reference = Callable[[Tensor, list[float]], Tensor]


def flip(p: float) -> Reference:
    def one(image: Tensor, draws: list[float]) -> Tensor:
        width = image.shape[2]
        columns = [width - 1 - x if draws[0] < p else x for x in range(width)]
        return torch.stack([image[:, :, x] for x in columns], dim=2)

    return one


def crop(padding: int, reflect: bool) -> Reference:
    def source(position: int, length: int) -> int | None:
        if 0 <= position < length:
            return position
        if not reflect:
            return None
        return -position if position < 0 else 2 * (length - 1) - position

    def one(image: Tensor, draws: list[float]) -> Tensor:
        _, height, width = image.shape
        down, right = (math.floor(draw * (2 * padding + 1)) - padding for draw in draws)
        result = torch.zeros_like(image)
        for y in range(height):
            for x in range(width):
                row, column = source(y + down, height), source(x + right, width)
                if row is not None and column is not None:
                    result[:, y, x] = image[:, row, column]
        return result

    return one


def resized_crop(min_scale: float, max_ratio: float) -> Reference:
    def bilinear(image: Tensor, y: float, x: float) -> Tensor:
        _, height, width = image.shape
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
        top, left = math.floor(y), math.floor(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        upper = (1 - (x - left)) * image[:, top, left] + (x - left) * image[:, top, right]
        lower = (1 - (x - left)) * image[:, bottom, left] + (x - left) * image[:, bottom, right]
        return (1 - (y - top)) * upper + (y - top) * lower

    def one(image: Tensor, draws: list[float]) -> Tensor:
        _, height, width = image.shape
        area = min_scale + (1 - min_scale) * draws[0]
        ratio = max_ratio ** (2 * draws[1] - 1)
        wide = min(math.sqrt(area * ratio), 1.0) * width  # pixels of the part
        high = min(math.sqrt(area / ratio), 1.0) * height
        left, top = draws[2] * (width - wide), draws[3] * (height - high)
        result = torch.zeros(image.shape)
        for y in range(height):
            for x in range(width):
                row, column = top + (y + 0.5) * high / height - 0.5, left + (x + 0.5) * wide / width - 0.5
                result[:, y, x] = bilinear(image.float(), row, column)
        return result

    return one


def shrunken(scale: float) -> Reference:
    def weights(old: int) -> Tensor:
        """Say how much of each old pixel is in each new one, [new, old]: less with its distance from the centre."""
        new = round(scale * old)
        far = [[abs((x + 0.5) * new / old - (y + 0.5)) for x in range(old)] for y in range(new)]
        shares = (1 - torch.tensor(far)).clamp(min=0)
        return shares / shares.sum(1, keepdim=True)

    def one(image: Tensor, draws: list[float]) -> Tensor:
        _, height, width = image.shape
        return weights(height) @ image.float() @ weights(width).T

    return one


CASES = {
    "flip": (RandomFlip(), flip(0.5)),
    "flip always": (RandomFlip(p=1.0), flip(1.0)),
    "flip never": (RandomFlip(p=0.0), flip(0.0)),
    "flip in turn": (AlternatingFlip(), flip(0.5)),
    "crop": (RandomCrop(padding=3), crop(3, reflect=False)),
    "crop by more than the image": (RandomCrop(padding=9), crop(9, reflect=False)),
    "crop by nothing": (RandomCrop(padding=0), crop(0, reflect=False)),
    "crop mirrored": (RandomCrop(padding=3, reflect=True), crop(3, reflect=True)),
    "resized crop": (RandomResizedCrop(), resized_crop(0.35, 4 / 3)),
    "resized crop, small and long": (RandomResizedCrop(0.08, 2.0), resized_crop(0.08, 2.0)),
    "small": (SmallFirst(scale=0.7), shrunken(0.7)),
    "small, but not now": (SmallFirst(scale=0.7, epochs=0), shrunken(1.0)),
}


@pytest.fixture
def images() -> Tensor:
    return torch.randint(256, (24, 3, 6, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def drawn(augmentation: Augmentation, size: int) -> Tensor:
    return torch.rand(size, augmentation.draws, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("as_floats", [False, True], ids=["bytes", "floats"])
@pytest.mark.parametrize(("augmentation", "reference"), CASES.values(), ids=CASES.keys())
def test_equals_the_reference(
    images: Tensor, augmentation: Augmentation, reference: Reference, as_floats: bool
) -> None:
    draws = drawn(augmentation, len(images))
    expected = torch.stack([reference(*pair) for pair in zip(images, draws.tolist(), strict=True)]).float()
    result = augmentation(images.float() if as_floats else images, draws).float()
    tolerance = 0.02 if isinstance(augmentation, RandomResizedCrop | SmallFirst) else 0  # of 255: rounding
    torch.testing.assert_close(result, expected, atol=tolerance, rtol=0)


def test_a_part_that_is_scaled_down_is_averaged() -> None:
    stripes = torch.arange(96).remainder(2).mul(255).expand(4, 1, 96, 96).byte()
    cropped = RandomResizedCrop(min_scale=1.0, max_ratio=1.0, size=16)(stripes, torch.rand(4, 4))
    assert cropped.shape == (4, 1, 16, 16)
    assert cropped[:, :, :, 1:-1].sub(127.5).abs().max() < 5


@pytest.mark.parametrize(("augmentation", "_"), CASES.values(), ids=CASES.keys())
def test_an_image_does_not_depend_on_its_batch(images: Tensor, augmentation: Augmentation, _: Reference) -> None:
    draws = drawn(augmentation, len(images))
    whole = augmentation(images, draws)
    alone = torch.cat([augmentation(images[i : i + 1], draws[i : i + 1]) for i in range(len(images))])
    torch.testing.assert_close(alone, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("augmentation", "_"), CASES.values(), ids=CASES.keys())
def test_the_images_in_memory_stay_as_they_are(images: Tensor, augmentation: Augmentation, _: Reference) -> None:
    before = images.clone()
    augmentation(images, drawn(augmentation, len(images)))
    assert torch.equal(images, before)


@pytest.mark.parametrize("augmentation", [RandomCrop(2), RandomCrop(2, reflect=True), RandomResizedCrop()])
def test_extreme_draws_stay_within_the_image(images: Tensor, augmentation: Augmentation) -> None:
    highest = 1 - 2**-24  # the largest number that a uniform draw takes
    for value in (0.0, highest):
        result = augmentation(images, torch.full((len(images), augmentation.draws), value))
        assert result.shape == images.shape
        assert result.float().isfinite().all()


def test_every_shift_is_equally_likely() -> None:
    pixel = torch.zeros(9000, 1, 3, 3)
    pixel[:, :, 1, 1] = 1
    draws = torch.rand(9000, 2, generator=torch.Generator().manual_seed(3))
    places = RandomCrop(padding=1)(pixel, draws).flatten(1).argmax(1)
    assert torch.bincount(places, minlength=9).tolist() == pytest.approx([1000] * 9, abs=150)


def test_a_part_of_the_whole_area_is_the_image_itself(images: Tensor) -> None:
    whole = RandomResizedCrop(min_scale=1.0, max_ratio=1.0)(images, torch.rand(len(images), 4))
    torch.testing.assert_close(whole, images.float(), atol=0.01, rtol=0)


def test_images_grow_after_the_first_epochs(images: Tensor) -> None:
    augmentation = SmallFirst(scale=0.5, epochs=2)
    sizes = []
    for augmentation.epoch in range(4):
        sizes.append(tuple(augmentation(images, torch.empty(24, 0)).shape[2:]))
    assert sizes == [(3, 4), (3, 4), (6, 7), (6, 7)]
    assert SmallFirst(scale=0.0)(images, torch.empty(24, 0)).shape[2:] == (1, 1)


@pytest.mark.parametrize("mixture", [MixUp(alpha=0.4), CutMix()])
def test_images_and_labels_are_mixed_with_the_same_share(mixture: Mixture) -> None:
    mixture.num_classes = 4
    images, labels = torch.arange(1, 5).view(4, 1, 1, 1).expand(4, 3, 8, 8) * 10.0, torch.arange(4)
    draws, state = torch.full((4, 1), 0.3), torch.get_rng_state()
    mixed, targets = mixture.augment(images, labels, draws)
    share = targets.diagonal()
    assert ((share > 0) & (share < 1)).all()
    assert torch.equal(targets.sum(1), torch.ones(4))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), targets @ (torch.arange(1, 5) * 10.0))
    assert torch.equal(mixture.augment(images, labels, draws)[0], mixed)
    assert not torch.equal(mixture.augment(images, labels, draws + 0.1)[1], targets)
    assert torch.equal(torch.get_rng_state(), state)


def test_views_have_their_share() -> None:
    network, images = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), torch.randn(4, 3, 8, 8)
    padded = F.pad(images, [2] * 4, "reflect")
    ends = network(padded[..., :8, :8]) + network(padded[..., 4:, 4:])
    plain, mirrored = network(images), network(images.flip(-1))
    torch.testing.assert_close(mean_over_views(network, images, flip=False, shift=0), plain)
    torch.testing.assert_close(mean_over_views(network, images, flip=True, shift=0), (plain + mirrored) / 2)
    torch.testing.assert_close(mean_over_views(network, images, flip=False, shift=2), plain / 2 + ends / 4)
