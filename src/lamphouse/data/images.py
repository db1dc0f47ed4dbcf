"""A data module for images in memory: normalisation and augmentation of whole batches on the device."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lamphouse.data.arrays import READERS
from lamphouse.data.augment import Augmentation
from lamphouse.data.datamodule import TensorDataModule
from lamphouse.data.image_files import read_image
from lamphouse.data.samples import Batch, Samples
from lamphouse.errors import InputError
from lamphouse.shards import StreamedSamples


class ImageDataModule(TensorDataModule):
    """A data set of images (abstract): a subclass defines `classes`, `input_shape`, `mean`, `std` and `load`.

    Inputs stay uint8 [N, C, H, W] in memory; batches have float32 images.

    Args:
        augment: augmentations of the training images, applied in this order.
        mean: of each channel of images 0..1, in the place of the data's own, as pretrained weights may need it.
        std: standard deviation, likewise.
        resize: scale batches of images on the device, so that their shorter side has so many pixels; in training before
            the augmentations, unless one of these has a size of its own.
        crop: height and width of the center of the images that is then kept, likewise.
        **kwargs: see `TensorDataModule`.
    """

    classes: Sequence[str]
    input_shape: tuple[int, int, int]  # channels, height, width
    mean: Sequence[float]  # per channel, of values 0..1
    std: Sequence[float]

    def __init__(
        self,
        augment: Sequence[Augmentation] = (),
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        resize: PositiveInt | None = None,
        crop: PositiveInt | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.resize, self.crop = resize, crop
        for name, values in (("mean", mean), ("std", std)):
            if values is not None:
                setattr(self, name, values)
        self.hparams.pop("augment", None)  # objects, which checkpoints cannot hold; predictions need none of them
        self.augment = list(augment)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def model_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images that the model sees; raise an `InputError` if they are too small."""
        channels, *size = self.input_shape
        height, width = scaled(size, self.resize) if self.resize else size
        if self.crop and self.crop > min(height, width):
            way_out = "give a smaller one, or a larger --data.resize"
            raise InputError(f"--data.crop {self.crop}: the images have {height} by {width} pixels: {way_out}")
        return (channels, int(self.crop), int(self.crop)) if self.crop else (channels, height, width)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        for name in ("mean", "std"):
            values, channels = getattr(self, name), self.input_shape[0]
            if len(values) not in {1, channels} or not all(0 <= value <= 1 for value in values) or 0 in self.std:
                expected = f"a number 0..1 for each of {channels} channels, std above 0"
                raise InputError(f"{name}: {list(values)}: expected {expected}: divide those of values 0..255 by 255")

    def check_samples(self, samples: Samples | StreamedSamples) -> None:
        super().check_samples(samples)
        self.check_inputs(samples.inputs)
        targets = samples.targets
        if len(samples.inputs) and samples.inputs.max() == 1:
            raise InputError("inputs: 0..1: expected 0..255: multiply the images by 255")
        for name in ("augment", "resize", "crop"):
            if getattr(self, name) and targets.ndim > 2:
                reason = f"images would change without their targets, {list(targets.shape)}"
                raise InputError(f"--data.{name}: {reason}: leave the option out")

    def check_inputs(self, inputs: Tensor) -> None:
        """Raise an `InputError`, with a way to convert them, unless inputs are uint8 [N, C, H, W]."""
        channels, *size = self.input_shape
        expected = [len(inputs), channels, *size]
        if list(inputs.shape) == expected and inputs.dtype == torch.uint8:
            return
        way_out = "scale them to 0..255"
        if list(inputs.shape[1:]) == [*size, channels]:
            way_out = "images.permute(0, 3, 1, 2) puts the channels first"
        elif list(inputs.shape[1:]) == size and channels == 1:
            way_out = "images.unsqueeze(1) adds the channel"
        elif list(inputs.shape) != expected:
            way_out = "resize them, or correct the input_shape of the data"
        elif inputs.is_floating_point() and 0 <= inputs.min() <= inputs.max() <= 1:
            way_out = "(images * 255).round().byte() converts 0..1"
        elif 0 <= inputs.min() <= inputs.max() <= 255:
            way_out = (
                "images.round().byte() converts 0..255" if inputs.is_floating_point() else "images.byte() converts"
            )
        raise InputError(f"inputs: {inputs.dtype} {list(inputs.shape)}: expected torch.uint8 {expected}: {way_out}")

    def check_augmentations(self) -> Tensor:
        """Return an augmented training image, float32 [1, C, H, W]; raise an `InputError` if that fails."""
        draws = torch.zeros(1, sum(augmentation.draws for augmentation in self.augment))
        images, targets = self.parts["train"][:1]
        try:
            return ImageDataModule.on_after_batch_transfer(self, [images, targets, draws, 0])[0]  # not a subclass's
        except (ArithmeticError, RuntimeError, ValueError) as error:
            raise InputError(f"--data.augment: {str(error).splitlines()[0]}") from error

    def train_dataloader(self) -> DataLoader[Any]:
        alternates = [augmentation.alternates for augmentation in self.augment for _ in range(augmentation.draws)]
        return self.loader("train", alternates if self.augment else None)

    def on_after_batch_transfer(self, batch: Sequence[Any], dataloader_idx: int = 0) -> Batch:
        """Augment a training batch, and resize and normalise any batch, on the device."""
        images, targets, *draws_and_epoch = batch
        if not draws_and_epoch:
            return self.preprocess(images), targets
        if not any(augmentation.resizes for augmentation in self.augment):
            images = self.resized(images)
        images, targets = self.apply_augmentations(images, targets, *draws_and_epoch)
        return self.normalise(images), targets

    def preprocess(self, images: Tensor) -> Tensor:
        """Resize and normalise images 0..255, [B, C, H, W], as in evaluation."""
        return self.normalise(self.resized(images))

    def resized(self, images: Tensor) -> Tensor:
        """Scale and crop images, [B, C, H, W], as `resize` and `crop` say."""
        if self.resize:
            size, shrinks = scaled(images.shape[-2:], self.resize), self.resize < min(images.shape[-2:])
            images = F.interpolate(images.float(), size, mode="bilinear", antialias=shrinks)
        if self.crop:
            top, left = (round((side - self.crop) / 2) for side in images.shape[-2:])
            images = images[..., top : top + self.crop, left : left + self.crop]
        return images

    def apply_augmentations(self, images: Tensor, targets: Any, draws: Tensor, epoch: int) -> tuple[Tensor, Any]:
        """Apply each augmentation with its own columns of draws, [B, all draws], to images 0..255, [B, C, H, W]."""
        columns = draws.split([augmentation.draws for augmentation in self.augment], dim=1)
        for augmentation, drawn in zip(self.augment, columns, strict=True):
            augmentation.epoch, augmentation.num_classes = epoch, self.num_classes
            images, targets = augmentation.augment(images, targets, drawn)
        return images, targets

    def normalise(self, images: Tensor) -> Tensor:
        """Scale images 0..255, [B, C, H, W], to float32 with mean 0 and standard deviation 1 per channel."""
        scale, shift = scale_and_shift(tuple(self.mean), tuple(self.std), images.device)
        return images.float().mul_(scale).sub_(shift)

    def viewable(self, images: Tensor) -> Tensor | None:
        """Undo `normalise`, for people to look at: uint8 [B, C, H, W]; None where there is neither 1 channel nor 3."""
        if images.shape[1] not in {1, 3}:
            return None
        statistics = torch.tensor([self.mean, self.std], device=images.device)[:, :, None, None]
        return ((images * statistics[1] + statistics[0]) * 255).round().clamp(0, 255).byte()

    def read(self, path: Path) -> Tensor:
        """Read an image file like the training images, uint8 [C, H, W]."""
        return torch.from_numpy(read_image(path, self.input_shape))

    def read_samples(self, path: Path) -> Tensor:
        """Read an image file, or several images from an array (.npy, .pt) or rows (.csv), uint8 [N, C, H, W]."""
        if path.suffix.lower() not in READERS:
            return self.read(path).unsqueeze(0)
        images = super().read_samples(path)
        if path.suffix.lower() == ".csv" and torch.equal(images, images.byte().float()):
            images = images.byte()
        try:
            self.check_inputs(images)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        return images


@lru_cache(maxsize=8)
@torch.inference_mode(mode=False)  # else a validation's could not be used in training
def scale_and_shift(mean: Sequence[float], std: Sequence[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the factor and the offset, [C, 1, 1], that normalise values 0..255; each batch needs them anew."""
    means, stds = torch.tensor([mean, std])[:, :, None, None].to(device, non_blocking=True)  # without waiting for a GPU
    return 1 / (255 * stds), means / stds


def scaled(size: Sequence[int], shorter: int) -> tuple[int, int]:
    """Return height and width in the ratio of those given, the shorter of so many pixels."""
    height, width = (int(shorter * side / min(size)) for side in size)
    return height, width
