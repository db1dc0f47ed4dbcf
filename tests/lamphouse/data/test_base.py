"""What every data module does: splits, loaders, augmentation and normalisation of whole batches."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lamphouse.data import (
    AlternatingFlip,
    Augmentation,
    Cutout,
    ImageDataModule,
    RandomCrop,
    RandomFlip,
    Samples,
    SmallFirst,
)
from arc_light.data.digits import DigitsDataModule

EVERYTHING: Sequence[Augmentation] = (RandomFlip(), RandomCrop(1), Cutout(2))


class Noise(ImageDataModule):
    """Samples that are all different, so that each can be told from what it has become."""

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


def test_parts_are_disjoint_stratified_and_the_test_split_is_the_official_one() -> None:
    data = fitted(val_fraction=0.2)
    data.setup("test")
    train, val, test = (data.parts[part] for part in ("train", "val", "test"))
    assert [len(part) for part in (train, val, test)] == [72, 18, 31]
    assert not rows(train[:][0]) & rows(val[:][0])
    assert rows(train[:][0]) | rows(val[:][0]) == rows(data.load(train=True)[:][0])
    assert torch.equal(test[:][0], data.load(train=False)[:][0])
    assert torch.bincount(val[:][1]).tolist() == [6, 6, 6]


def test_a_split_copies_no_image_and_a_device_gets_a_parts_own_only() -> None:
    data = fitted(val_fraction=0.2)
    train, val = data.parts["train"], data.parts["val"]
    assert train.inputs is val.inputs
    images, labels = train[:]
    assert torch.equal(images, train[:][0])
    assert torch.equal(labels, train[:][1])
    assert train.to(torch.device("cpu")) is train
    assert train.to(torch.device("meta")).inputs.shape == images.shape


def test_the_split_follows_from_the_seed_in_every_process() -> None:
    assert torch.equal(fitted(seed=3).parts["val"][:][0], fitted(seed=3).parts["val"][:][0])
    assert not torch.equal(fitted(seed=3).parts["val"][:][0], fitted(seed=4).parts["val"][:][0])


def test_a_stage_loads_only_what_it_needs() -> None:
    data = Noise()
    data.setup("test")
    assert set(data.parts) == {"test"}
    data.setup("validate")
    assert set(data.parts) == {"test", "train", "val"}


def test_images_stay_bytes_in_memory() -> None:
    assert fitted().parts["train"].inputs.dtype == torch.uint8


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
    images, draws = data.parts["train"][:][0], torch.rand(len(data.parts["train"]), 5)
    expected = Cutout(2)(RandomCrop(1)(RandomFlip()(images, draws[:, :1]), draws[:, 1:3]), draws[:, 3:])
    assert torch.equal(data.apply_augmentations(images, draws, epoch=0), expected)


def test_an_augmentation_that_draws_nothing_is_told_the_epoch() -> None:
    data = fitted(augment=[SmallFirst(scale=0.5, epochs=2)])
    height, width = data.input_shape[1:]
    for epoch, size in enumerate([(height // 2, width // 2)] * 2 + [(height, width)]):
        assert epoch_of(data, epoch)[0].shape[2:] == size


def test_equal_images_are_changed_each_in_its_own_way() -> None:
    data = fitted(augment=[RandomCrop(2)])
    same = data.parts["train"][:][0][:1].expand(72, -1, -1, -1)
    data.parts["train"] = Samples(same.contiguous(), data.parts["train"][:72][1])
    assert len(rows(epoch_of(data)[0])) > 15  # of 25 places


@pytest.mark.parametrize("options", [{"batch_size": 5}, {"batch_size": 81}, {"batch_size": 7, "num_workers": 2}])
def test_what_an_image_becomes_depends_on_no_batch_size_and_no_worker(options: dict[str, int]) -> None:
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
def test_the_global_random_state_is_neither_read_nor_moved(num_workers: int) -> None:
    torch.manual_seed(1)
    first = epoch_of(fitted(augment=EVERYTHING, num_workers=num_workers))[0]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(epoch_of(fitted(augment=EVERYTHING, num_workers=num_workers))[0], first)
    assert torch.equal(torch.get_rng_state(), before)


def on(device: str) -> Any:
    """Stand in for a Trainer that has its model on a device."""
    return SimpleNamespace(overfit_batches=0, strategy=SimpleNamespace(root_device=torch.device(device)))


def test_images_on_the_device_are_fetched_there() -> None:
    data = fitted(augment=(RandomFlip(), AlternatingFlip(), RandomCrop(1)), on_device=True, batch_size=7)
    data.trainer = on("meta")  # which has no values: nothing can be copied from it or to it unseen
    for batch in data.train_dataloader():
        *tensors, _ = batch
        assert {tensor.device.type for tensor in tensors} == {"meta"}
        images, labels = data.on_after_batch_transfer(batch)
        assert (images.device.type, images.shape[1:], len(images)) == ("meta", data.input_shape, len(labels))


@pytest.mark.parametrize("on_device", [None, False])
def test_images_stay_where_they_are_unless_a_gpu_has_room_for_them(on_device: bool | None) -> None:
    data = fitted(on_device=on_device)
    data.trainer = on("meta")
    assert {images.device.type for images, _ in data.train_dataloader()} == {"cpu"}


@pytest.mark.parametrize("kept", [True, False])
def test_a_quarter_of_a_gpus_free_memory_may_hold_images(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = fitted()
    size = sum(tensor.nbytes for tensor in data.parts["train"][:])
    assert size == data.parts["train"].nbytes
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (4 * size + (1 if kept else -1), 0))
    assert data.is_resident(data.parts["train"], torch.device("cuda")) is kept


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


def test_images_on_the_device_are_fetched_by_one_process() -> None:
    with pytest.raises(ValueError, match=r"--data.on_device true with --data.num_workers 2: .*leave one"):
        Noise(on_device=True, num_workers=2)


def test_digits_are_what_the_package_says_they_are() -> None:
    data = DigitsDataModule()
    train, test = data.load(train=True), data.load(train=False)
    labels = torch.cat([train[:][1], test[:][1]])
    assert (len(train[:][1]), len(test[:][1])) == (1438, 359)
    assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as published
    assert train[:][0].shape[1:] == data.input_shape
    assert len(torch.cat([train[:][0], test[:][0]]).unique()) == 17
    values = torch.cat([train[:][0], test[:][0]]).float() / 255
    assert (values.mean().item(), values.std().item()) == pytest.approx((data.mean[0], data.std[0]), abs=2e-3)


def test_the_test_digits_are_the_same_for_every_seed() -> None:
    assert torch.equal(*(DigitsDataModule(seed=seed).load(train=False)[:][0] for seed in (1, 2)))
    shares = torch.bincount(DigitsDataModule().load(train=False)[:][1])
    assert shares.tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]


def test_images_are_mirrored_in_every_other_epoch() -> None:
    data = fitted(augment=[RandomCrop(0), AlternatingFlip()], batch_size=7)
    plain = data.normalise(data.parts["train"][:][0])
    upright, mirrored = rows(plain), rows(plain.flip(-1))
    seen = [rows(epoch_of(data, epoch)[0]) for epoch in range(3)]
    assert seen[0] == seen[2]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == upright | mirrored
    assert 10 < len(seen[0] & upright) < len(upright) - 10
