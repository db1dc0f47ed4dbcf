"""Parts of labelled data, and how it is split into them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lamphouse.data.batches import generator

PURPOSE = 2  # beside the order's 0 and the augmentation's 1


@dataclass(frozen=True, eq=False)
class Images:
    """Part of a data set: images and labels; parts can share what they hold, so that a split copies no image.

    Args:
        held: images, uint8 [M, C, H, W].
        labels: int64 [N], of this part's images.
        rows: which of those that are held, int64 [N]; None is all.
    """

    held: Tensor
    labels: Tensor
    rows: Tensor | None = None

    def __iter__(self) -> Iterator[Tensor]:
        """Unpack into images and labels."""
        return iter((self.images, self.labels))

    @property
    def images(self) -> Tensor:
        """Pick the part's own images, uint8 [N, C, H, W]."""
        return self.held if self.rows is None else self.held[self.rows]

    @property
    def nbytes(self) -> int:
        """Count the bytes of the part's own images."""
        return len(self.labels) * self.held.element_size() * self.held[:1].numel()

    def to(self, device: torch.device) -> "Images":
        """Copy the part's own to a device, if they are not there."""
        return self if self.held.device == device else Images(*(tensor.to(device) for tensor in self))


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Put `fraction` of each class aside, at least one and never all images of a class that has two.

    Returns:
        Indices of the larger and of the smaller part, int64, each in ascending order.
    """
    aside = torch.zeros(len(labels), dtype=torch.bool)
    random = generator(seed, PURPOSE)
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        aside[members[torch.randperm(len(members), generator=random)[:count]]] = True
    return (~aside).nonzero().flatten(), aside.nonzero().flatten()
