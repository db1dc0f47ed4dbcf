"""A data module for images: checks, augmentation and normalization of whole batches."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from lamphouse.data import (
    AlternatingFlip,
    Augmentation,
    ImageDataModule,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    Samples,
    SmallFirst,
)
from lamphouse.errors import InputError
from arc_light.data.digits import DigitsDataModule

EVERYTHING: Sequence[Augmentation] = (RandomFlip(), RandomCrop(1), RandomFlip(0.3))


class Noise(ImageDataModule):
    """Images that are all different."""

    classes = ("a", "b", "c")
    input_shape = (3, 4, 5)
    mean, std = (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)

    def load(self, train: bool) -> Samples:
        random = torch.Generator().manual_seed(1 if train else 2)
        images = torch.randint(256, (90 if train else 31, 3, 4, 5), dtype=torch.uint8, generator=random)
        return Samples(images, torch.arange(len(images)) % 3)


def fitted(**options: object) -> Noise:
    data = Noise(**options)  # type: ignore[arg-type]  # options of any type
    data.prepare_data()
    data.setup("fit")
    return data


def epoch_of(data: ImageDataModule, epoch: int = 0) -> tuple[Tensor, Tensor]:
    """Go through a training epoch as the Trainer does."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # the sampler is ours
    images, labels = zip(*(data.on_after_batch_transfer(batch) for batch in loader), strict=True)
    return torch.cat(images), torch.cat(labels)


def rows(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_normalised_images_have_the_stated_mean_and_deviation() -> None:
    data = Noise()
    images = torch.randint(256, (4, 3, 4, 5), dtype=torch.uint8)
    expected = images.clone().float()
    for channel in range(3):
        expected[:, channel] = (expected[:, channel] / 255 - data.mean[channel]) / data.std[channel]
    torch.testing.assert_close(data.normalise(images), expected, atol=1e-5, rtol=1e-5)


def test_evaluation_images_are_normalised_and_nothing_else() -> None:
    data = fitted(augment=EVERYTHING, batch_size=7)
    data.setup("test")
    for part, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        images, labels = zip(*(data.on_after_batch_transfer(batch) for batch in loader), strict=True)
        assert torch.equal(torch.cat(images), data.normalise(data.parts[part][:][0]))
        assert torch.equal(torch.cat(labels), data.parts[part][:][1])


def test_augmentations_follow_each_other_each_with_its_own_draws() -> None:
    data = fitted(augment=EVERYTHING)
    images, draws = data.parts["train"][:][0], torch.rand(len(data.parts["train"]), 4)
    expected = RandomFlip(0.3)(RandomCrop(1)(RandomFlip()(images, draws[:, :1]), draws[:, 1:3]), draws[:, 3:])
    assert torch.equal(data.apply_augmentations(images, None, draws, epoch=0)[0], expected)


def test_an_augmentation_without_draws_knows_the_epoch() -> None:
    data = fitted(augment=[SmallFirst(scale=0.5, epochs=2)])
    height, width = data.input_shape[1:]
    for epoch, size in enumerate([(height // 2, width // 2)] * 2 + [(height, width)]):
        assert epoch_of(data, epoch)[0].shape[2:] == size


def test_equal_images_are_augmented_differently() -> None:
    data = fitted(augment=[RandomCrop(2)])
    same = data.parts["train"][:][0][:1].expand(72, -1, -1, -1)
    data.parts["train"] = Samples(same.contiguous(), data.parts["train"][:72][1])
    assert len(rows(epoch_of(data)[0])) > 15  # of 25 places


@pytest.mark.parametrize("options", [{"batch_size": 5}, {"batch_size": 81}, {"batch_size": 7, "num_workers": 2}])
def test_augmentation_does_not_depend_on_batch_size_or_workers(options: dict[str, int]) -> None:
    expected = epoch_of(fitted(augment=EVERYTHING, seed=1, batch_size=16), epoch=2)
    images, labels = epoch_of(fitted(augment=EVERYTHING, seed=1, **options), epoch=2)
    assert torch.equal(images, expected[0])
    assert torch.equal(labels, expected[1])


def test_every_epoch_has_an_order_and_augmentations_of_its_own() -> None:
    data = fitted(augment=EVERYTHING, seed=1)
    first, second = epoch_of(data, 0), epoch_of(data, 1)
    assert torch.bincount(first[1]).tolist() == torch.bincount(second[1]).tolist()
    assert len(rows(first[0]) & rows(second[0])) < 10
    assert torch.equal(epoch_of(data, 0)[0], first[0])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_global_random_state_is_not_used(num_workers: int) -> None:
    torch.manual_seed(1)
    first = epoch_of(fitted(augment=EVERYTHING, num_workers=num_workers))[0]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(epoch_of(fitted(augment=EVERYTHING, num_workers=num_workers))[0], first)
    assert torch.equal(torch.get_rng_state(), before)


def on(device: str) -> Any:
    """Stand in for a Trainer with its model on a device."""
    return SimpleNamespace(overfit_batches=0, strategy=SimpleNamespace(root_device=torch.device(device)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("augment", [EVERYTHING, (AlternatingFlip(), RandomCrop(1, reflect=True))])
def test_images_kept_on_a_gpu_give_the_same_bits(augment: Sequence[Augmentation]) -> None:
    def batches(*, on_device: bool) -> list[tuple[Tensor, Tensor]]:
        data = fitted(augment=augment, on_device=on_device, batch_size=7)
        data.trainer = on("cuda")
        ready = ([part.cuda() if isinstance(part, Tensor) else part for part in b] for b in data.train_dataloader())
        return [data.on_after_batch_transfer(batch) for batch in ready]

    for copied, resident in zip(batches(on_device=False), batches(on_device=True), strict=True):
        assert all(map(torch.equal, copied, resident))


def test_images_are_flipped_in_every_other_epoch() -> None:
    data = fitted(augment=[RandomCrop(0), AlternatingFlip()], batch_size=7)
    plain = data.normalise(data.parts["train"][:][0])
    upright, mirrored = rows(plain), rows(plain.flip(-1))
    seen = [rows(epoch_of(data, epoch)[0]) for epoch in range(3)]
    assert seen[0] == seen[2]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == upright | mirrored
    assert 10 < len(seen[0] & upright) < len(upright) - 10


IMAGES = torch.zeros(6, 3, 4, 5, dtype=torch.uint8)
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
EXPECTED = r"expected torch.uint8 \[6, 3, 4, 5\]"
BAD = {
    "floats": (IMAGES / 255, LABELS, rf"inputs: torch.float32 \[6, 3, 4, 5\]: {EXPECTED}: \(images \* 255\)"),
    "large floats": (IMAGES + 254.0, LABELS, rf"inputs: torch.float32 .*: {EXPECTED}: images.round\(\).byte\(\)"),
    "normalised": (IMAGES - 1.5, LABELS, rf"inputs: torch.float32 .*: {EXPECTED}: scale them to 0..255"),
    "integers": (IMAGES.int(), LABELS, rf"inputs: torch.int32 .*: {EXPECTED}: images.byte\(\) converts"),
    "sixteen bits": (IMAGES.int() + 256, LABELS, rf"inputs: torch.int32 .*: {EXPECTED}: scale them to 0..255"),
    "bytes 0..1": (IMAGES + 1, LABELS, "inputs: 0..1: expected 0..255: multiply"),
    "channels last": (
        IMAGES.permute(0, 2, 3, 1),
        LABELS,
        rf"inputs: torch.uint8 \[6, 4, 5, 3\]: {EXPECTED}: images.permute\(0, 3, 1, 2\)",
    ),
    "another size": (IMAGES[..., 1:], LABELS, rf"inputs: torch.uint8 .*: {EXPECTED}: resize them"),
    "labels from 1": (IMAGES, LABELS + 1, r"targets: 1\.\.3: expected 0\.\.2"),
    "negative label": (IMAGES, LABELS - 1, r"targets: -1\.\.1: expected 0\.\.2"),
    "short labels": (IMAGES, LABELS.int(), r"targets: torch.int32: expected torch.int64 .*: targets.long\(\)"),
    "floating labels": (IMAGES, LABELS.float(), r"targets: torch.float32, whole numbers only: targets.long\(\)"),
    "a column": (IMAGES, LABELS[:, None], r"targets: \[6, 1\]: expected \[6\]: targets.squeeze\(1\)"),
    "infinite targets": (IMAGES, LABELS / 0, "targets: some values are nan or infinite"),
    "masks": (IMAGES, IMAGES[:, 0].long(), r"--data.augment: images would change without their targets, \[6, 4, 5\]"),
}


def of(images: Tensor, targets: Tensor, **options: Any) -> Noise:
    class Given(Noise):
        def load(self, train: bool) -> Samples:
            return Samples(images, targets)

    return Given(**options)


@pytest.mark.parametrize(("images", "targets", "message"), BAD.values(), ids=BAD.keys())
def test_bad_images_and_targets_are_refused_in_one_line(images: Tensor, targets: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=rf"\A{message}.*\Z"):
        of(images, targets, augment=EVERYTHING).setup("fit")


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (
            (125.3, 123.0, 113.9),
            (0.2, 0.2, 0.2),
            r"mean: \[125.3, 123.0, 113.9\]: expected a number 0..1 .* 3 channels",
        ),
        ((0.5, 0.4, 0.3), (0.2, 0.2, 0.0), "mean: .*std above 0"),
        ((0.5, 0.4), (0.2, 0.2), "mean: .*for each of 3 channels"),
        ((0.5,), (58.0,), r"std: \[58.0\]: expected .*divide"),
    ],
)
def test_bad_statistics_are_refused(mean: tuple[float, ...], std: tuple[float, ...], message: str) -> None:
    data = Noise()
    data.mean, data.std = mean, std  # type: ignore[assignment]  # their number is wrong
    with pytest.raises(InputError, match=rf"\A{message}.*\Z"):
        data.setup("fit")


def test_masks_and_values_are_targets() -> None:
    masks, values = of(IMAGES, IMAGES[:, 0].long()), of(IMAGES, LABELS / 3, augment=EVERYTHING)
    for data in (masks, values):
        data.setup("fit")
        assert sum(len(part) for part in data.parts.values()) == len(IMAGES)


@pytest.mark.parametrize(
    ("size", "resize", "crop", "shape"),
    [
        ((32, 32), 256, 224, (224, 224)),
        ((60, 41), 23, 20, (20, 20)),
        ((41, 60), 64, None, (64, 93)),
        ((5, 8), None, 4, (4, 4)),
        ((32, 32), 32, 31, (31, 31)),
    ],
)
def test_resized_as_by_torchvision(
    size: tuple[int, int], resize: int | None, crop: int | None, shape: tuple[int, int]
) -> None:
    images = torch.randint(256, (3, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    data = Noise(resize=resize, crop=crop)
    data.input_shape = (3, *size)
    expected = functional.resize(images.float(), [resize], antialias=True) if resize else images.float()
    expected = functional.center_crop(expected, [crop]) if crop else expected
    torch.testing.assert_close(data.resized(images).float(), expected, atol=1e-3, rtol=0)
    assert data.resized(images).shape[-2:] == data.model_shape[1:] == shape


def test_a_resized_part_is_torchvisions() -> None:
    images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    draws = torch.tensor([[0.25, 0.5, 0.25, 0.75]] * 2)  # half as wide; 4 pixels from the left, 12 from the top
    parts = RandomResizedCrop(min_scale=0.0, size=224)(images, draws)
    expected = functional.resized_crop(images.float(), 12, 4, 16, 16, [224, 224], antialias=True)
    inside = slice(7, -7)  # torchvision does not look at what is around a part
    torch.testing.assert_close(parts[..., inside, inside], expected[..., inside, inside], atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("augment", "shape"),
    [([], (6, 6)), ([RandomFlip()], (6, 6)), ([RandomResizedCrop(size=9)], (9, 9)), ([RandomResizedCrop()], (6, 6))],
)
def test_images_are_resized_a_batch_at_a_time(augment: list[Augmentation], shape: tuple[int, int]) -> None:
    data = fitted(augment=augment, resize=7, crop=6)
    assert data.parts["train"].inputs.shape[1:] == (3, 4, 5)
    assert epoch_of(data)[0].shape[-2:] == data.check_augmentations().shape[-2:] == shape
    images, _ = data.on_after_batch_transfer(next(iter(data.val_dataloader())))
    assert images.shape[1:] == data.model_shape == (3, 6, 6)


def test_a_crop_that_is_too_large_is_refused() -> None:
    with pytest.raises(InputError, match=r"--data.crop 9: the images have 7 by 8 pixels: give a smaller one"):
        _ = Noise(resize=7, crop=9).model_shape


def test_an_augmentation_that_fails_is_named() -> None:
    data = fitted(augment=[RandomCrop(9, reflect=True)])
    with pytest.raises(InputError, match=r"\A--data.augment: .*padding.*\Z"):
        data.check_augmentations()
    assert fitted(augment=EVERYTHING).check_augmentations().shape == (1, 3, 4, 5)


def test_the_embedded_digits_are_those_that_were_published() -> None:
    data = DigitsDataModule()
    train, test = data.load(train=True)[:], data.load(train=False)[:]
    images, labels = (torch.cat(tensors) for tensors in zip(train, test, strict=True))
    assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert torch.bincount(test[1]).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert torch.equal(DigitsDataModule(seed=1).load(train=False)[:][0], test[0])
    assert len(images.unique()) == 17
    values = images / 255
    assert (values.mean().item(), values.std().item()) == pytest.approx((data.mean[0], data.std[0]), abs=2e-3)
