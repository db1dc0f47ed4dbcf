"""Data in memory, whole batches at a time."""

from lamphouse.data.augment import (
    AlternatingFlip,
    Augmentation,
    Cutout,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    SmallFirst,
)
from lamphouse.data.datamodule import Batch, ImageDataModule
from lamphouse.data.folder import ImageFolderDataModule
from lamphouse.data.samples import Samples

__all__ = [
    "AlternatingFlip",
    "Augmentation",
    "Batch",
    "Cutout",
    "ImageDataModule",
    "ImageFolderDataModule",
    "RandomCrop",
    "RandomFlip",
    "RandomResizedCrop",
    "Samples",
    "SmallFirst",
]
