"""Data in memory or streamed from disk, fetched in whole batches."""

from lamphouse.data.augment import (
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
from lamphouse.data.batches import BatchLoader, BatchSampler
from lamphouse.data.datamodule import TensorDataModule
from lamphouse.data.folder import ImageFolderDataModule
from lamphouse.data.images import ImageDataModule
from lamphouse.data.samples import Batch, Samples
from lamphouse.files import ensure_downloaded

# fmt: off
__all__ = [
    "AlternatingFlip", "Augmentation", "Batch", "BatchLoader", "BatchSampler", "CutMix", "ImageDataModule",
    "ImageFolderDataModule", "MixUp", "RandomCrop", "RandomFlip", "RandomResizedCrop", "Samples", "SmallFirst",
    "TensorDataModule", "ensure_downloaded", "mean_over_views",
]
