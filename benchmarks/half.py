"""Half of the classes of a data set, with few images of each, for `finetune`."""

from typing import Any, Literal

import torch

from lamphouse.data import ImageDataModule, Samples
from arc_light.data.cifar10 import CIFAR10DataModule
from arc_light.data.digits import DigitsDataModule


class Half(ImageDataModule):
    """The first or the second half of the classes (abstract).

    Args:
        half: which.
        images: of each class in training and validation, drawn by the seed.
        **kwargs: see `ImageDataModule`.
    """

    def __init__(self, half: Literal["first", "second"] = "first", images: int = 10**6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        middle = len(self.classes) // 2
        self.begin, self.images = middle * (half == "second"), images
        self.classes = self.classes[self.begin : self.begin + middle]

    def load(self, train: bool) -> Samples:
        """Read the official split, and leave out the other half and what is too much."""
        images, labels = super().load(train)[:]  # type: ignore[safe-super]  # of the data set beside it
        labels -= self.begin
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(self.seed))
        chosen = [order[labels[order] == label] for label in range(len(self.classes))]
        kept = torch.cat([indices[: self.images] if train else indices for indices in chosen]).sort().values
        return Samples(images[kept], labels[kept])


class HalfOfCIFAR10(Half, CIFAR10DataModule):
    """Airplanes, cars, birds, cats and deer, or dogs, frogs, horses, ships and trucks."""


class HalfOfDigits(Half, DigitsDataModule):
    """Digits from 0 to 4, or from 5 to 9."""
