"""Data sets: images in memory, whole batches at a time."""

from arc_light.data.augment import (
    AlternatingFlip,
    Augmentation,
    Cutout,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    SmallFirst,
)
from arc_light.data.base import Batch, ImageDataModule
from arc_light.data.cifar10 import CIFAR10DataModule
from arc_light.data.digits import DigitsDataModule
from arc_light.data.folder import ImageFolderDataModule
from arc_light.data.mnist import MNISTDataModule
from arc_light.data.splits import Images

__all__ = [
    "AlternatingFlip",
    "Augmentation",
    "Batch",
    "CIFAR10DataModule",
    "Cutout",
    "DigitsDataModule",
    "ImageDataModule",
    "ImageFolderDataModule",
    "Images",
    "MNISTDataModule",
    "RandomCrop",
    "RandomFlip",
    "RandomResizedCrop",
    "SmallFirst",
]
