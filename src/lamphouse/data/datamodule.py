"""What every data set of images shares: splits, loaders, and normalisation and augmentation of whole batches."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jsonargparse.typing import NonNegativeInt, OpenUnitInterval, PositiveInt
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lamphouse.data.augment import Augmentation
from lamphouse.data.image_files import read_image
from lamphouse.data.samples import BatchLoader, BatchSampler, SampleBatches, Samples, stratified_split
from lamphouse.errors import InputError

Batch = tuple[Tensor, Tensor]  # images, float [B, C, H, W], normalised; labels, int64 [B]


class ImageDataModule(LightningDataModule):
    """A data set of labelled images (abstract): a subclass says `classes`, `input_shape`, `mean`, `std` and `load`.

    Args:
        batch_size: images in a batch of each process.
        val_fraction: part of the training images that is kept for validation, class by class.
        augment: what happens to training images, in this order.
        num_workers: processes that fetch batches; 0 is fastest for images in memory.
        seed: of the split, the order and the augmentation; None is 0 or, on the command line, `seed_everything`.
        on_device: keep the images on the device that trains, so that no batch is copied to it; None does so where it
            is a GPU and they take less than a quarter of its free memory.

    Raises:
        ValueError: images on the device are to be fetched by other processes.
    """

    classes: Sequence[str]
    input_shape: tuple[int, int, int]  # channels, height, width
    mean: Sequence[float]  # per channel, of values 0..1
    std: Sequence[float]

    def __init__(
        self,
        batch_size: PositiveInt = 128,
        val_fraction: OpenUnitInterval = 0.1,
        augment: Sequence[Augmentation] = (),
        num_workers: NonNegativeInt = 0,
        seed: NonNegativeInt | None = None,
        on_device: bool | None = None,
    ) -> None:
        super().__init__()
        if on_device and num_workers:
            alone = "images on the device are fetched by one process: leave one of the two options out"
            raise ValueError(f"--data.on_device true with --data.num_workers {num_workers}: {alone}")
        self.save_hyperparameters(ignore=["augment"], logger=False)
        self.batch_size, self.val_fraction, self.seed = batch_size, val_fraction, seed or 0
        self.augment, self.num_workers, self.on_device = list(augment), num_workers, on_device
        self.parts: dict[str, Samples] = {}

    @property
    def num_classes(self) -> int:
        """Count the classes."""
        return len(self.classes)

    @property
    def device(self) -> torch.device:
        """Tell where batches are wanted: where the trainer has the model, and without a trainer on the CPU."""
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    @abstractmethod
    def load(self, train: bool) -> Samples:
        """Read the official training or test split into memory."""

    def setup(self, stage: str) -> None:
        """Load what the stage needs, once.

        Raises:
            InputError: there are too few images for each part to have one.
        """
        if stage in {"fit", "validate"} and "train" not in self.parts:
            self.parts.update(self.load_train_and_val())
        if stage == "test" and "test" not in self.parts:
            self.parts["test"] = self.load(train=False)
        empty = [part for part, images in self.parts.items() if not len(images.labels)]
        if empty:
            raise InputError(f"no images are left for {' and '.join(empty)}: add some, at least three of a class")

    def check(self) -> Tensor:
        """Try the augmentations on a training image.

        Returns:
            It as the first epoch has it, [1, C, H, W], ready for a model.

        Raises:
            InputError: one of them does not suit the images.
        """
        draws = torch.zeros(1, sum(augmentation.draws for augmentation in self.augment))
        try:
            return self.normalised(self.augmented(self.parts["train"].held[:1], draws, epoch=0))
        except (ArithmeticError, RuntimeError, ValueError) as error:
            raise InputError(f"--data.augment: {str(error).splitlines()[0]}") from error

    def load_train_and_val(self) -> dict[str, Samples]:
        """Split the official training images by class."""
        images, labels = self.load(train=True)
        split = stratified_split(labels, self.val_fraction, self.seed)
        return {part: Samples(images, labels[rows], rows) for part, rows in zip(("train", "val"), split, strict=True)}

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffle the training images anew in each epoch."""
        alternates = [change.alternates for change in self.augment for _ in range(change.draws)]
        return self._loader("train", alternates if self.augment else None)

    def val_dataloader(self) -> DataLoader[Any]:
        """Go through the validation images in order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Go through the test images in order."""
        return self._loader("test")

    def _loader(self, part: str, alternates: Sequence[bool] | None = None) -> DataLoader[Any]:
        resident = self.is_resident(self.parts[part])
        place = self.device if resident else torch.device("cpu")
        own = self.parts[part].to(place)
        batches = SampleBatches(own.held, own.labels, alternates, self.seed, own.rows)
        train = part == "train" and not getattr(self.trainer, "overfit_batches", 0)
        ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)
        return BatchLoader(
            batches,
            batch_size=None,  # the sampler's keys are whole batches
            sampler=BatchSampler(len(batches), self.batch_size, self.seed, train, *ranks, place),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.device.type == "cuda" and not resident,
            generator=torch.Generator().manual_seed(self.seed),  # or each epoch would draw from the global one
        )

    def is_resident(self, part: Samples) -> bool:
        """Say whether a part's images are kept on the device; the bits that are computed from them are the same."""
        if self.on_device is None and self.device.type == "cuda" and not self.num_workers:
            free, _ = torch.cuda.mem_get_info(self.device)
            return part.nbytes < free / 4
        return bool(self.on_device)

    def on_after_batch_transfer(self, batch: Sequence[Any], dataloader_idx: int = 0) -> Batch:
        """Augment a batch that has draws and an epoch, as in training, and normalise any, on the device it is on."""
        images, labels, *chance = batch
        if chance:
            images = self.augmented(images, *chance)
        return self.normalised(images), labels

    def augmented(self, images: Tensor, draws: Tensor, epoch: int) -> Tensor:
        """Apply each augmentation with its own columns of draws, [B, all draws], to images, [B, C, H, W], 0..255."""
        columns = draws.split([augmentation.draws for augmentation in self.augment], dim=1)
        for augmentation, drawn in zip(self.augment, columns, strict=True):
            augmentation.epoch = epoch
            images = augmentation(images, drawn)
        return images

    def normalised(self, images: Tensor) -> Tensor:
        """Turn values 0..255 into floats with mean 0 and deviation 1 per channel, [B, C, H, W]."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        mean, std = (figures.to(images.device, non_blocking=True) for figures in (mean, std))  # a GPU is not waited for
        return images.float().mul_(1 / (255 * std)).sub_(mean / std)

    def read(self, path: Path) -> Tensor:
        """Read one image file in the mode and size of the training images, uint8 [C, H, W]."""
        return read_image(path, self.input_shape)
