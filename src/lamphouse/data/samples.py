"""Samples in memory, fetched a whole batch at a time, in an order that follows from seed and epoch alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.random import SeedSequence
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, SequentialSampler

Key = tuple[int, Tensor]  # the epoch, and the indices of a batch, int64 [B]


def generator(*key: int) -> torch.Generator:
    """Seed a generator from several numbers, such as the seed, the epoch and what it is for."""
    return torch.Generator().manual_seed(int(SeedSequence(key).generate_state(1, "uint64")[0] >> 1))


class SampleBatches(Dataset[tuple[Any, ...]]):
    """Samples and labels in memory; a key of epoch and indices fetches a batch.

    Args:
        images: uint8 [M, C, H, W], on any device, where the indices are then, too.
        labels: int64 [N].
        alternates: for each random number that an image needs in an epoch, whether it is the one of the epoch before,
            half way round; None leaves them and the epoch out of the batch.
        seed: of those numbers.
        rows: which image belongs to each label, int64 [N]; None is the one at the same place.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        alternates: Sequence[bool] | None = None,
        seed: int = 0,
        rows: Tensor | None = None,
    ) -> None:
        self.images, self.labels, self.seed, self.rows = images, labels, seed, rows
        self.augmented = alternates is not None
        self.alternates = torch.tensor(alternates or (), dtype=torch.bool)
        self._draws = torch.empty(0)
        self._epoch = -1

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getitem__(self, key: Key) -> tuple[Any, ...]:
        """Fetch images, labels and, to augment them, draws, float [B, draws] in [0, 1), and the epoch."""
        epoch, indices = key
        rows = indices if self.rows is None else self.rows[indices]
        batch = (self.images[rows], self.labels[indices])
        return (*batch, self._drawn(epoch)[indices], epoch) if self.augmented else batch

    def _drawn(self, epoch: int) -> Tensor:
        """Draw for all images at once, so that an image's numbers do not depend on the batch it is in."""
        if epoch != self._epoch:
            shape = (len(self.labels), len(self.alternates))
            draws = torch.rand(shape, generator=generator(self.seed, epoch, 1))
            if self.alternates.any():
                first = torch.rand(shape, generator=generator(self.seed, 0, 2))
                draws = torch.where(self.alternates, (first + epoch % 2 / 2) % 1, draws)
            self._draws, self._epoch = draws.to(self.images.device), epoch
        return self._draws


class BatchSampler(SequentialSampler):
    """Keys of whole batches, shared out between processes.

    It calls itself sequential for Lightning to leave it in place where `overfit_batches` asks for no shuffling.

    In training, where every process must take as many steps as the others, up to `world_size - 1` images come twice;
    in evaluation none does.

    Args:
        size: number of images.
        batch_size: images in a batch of one process.
        seed: of the order.
        train: shuffle anew in each epoch.
        rank: this process, 0..world_size - 1.
        world_size: number of processes.
        device: where the indices are wanted; they are copied there once an epoch.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int = 0,
        train: bool = False,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size, self.batch_size, self.seed, self.train = size, batch_size, seed, train
        self.rank, self.world_size, self.device = rank, world_size, device
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; Lightning calls this."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        """Count this process's batches."""
        whole, rest = divmod(self.size, self.batch_size * self.world_size)
        return whole + (rest > (0 if self.train else self.rank))

    def __iter__(self) -> Iterator[Key]:  # type: ignore[override]  # whole batches, not single images
        """Go through the batches of the epoch, from number `start` on, counted from 0."""
        for together in self._order().to(self.device).split(self.batch_size * self.world_size)[self.start :]:
            share = together[self.rank :: self.world_size]
            if len(share):
                yield self.epoch, share

    def _order(self) -> Tensor:
        if not self.train:
            return torch.arange(self.size)
        order = torch.randperm(self.size, generator=generator(self.seed, self.epoch, 0))
        return torch.cat([order, order[: -self.size % self.world_size]])


class BatchLoader(DataLoader[Any]):
    """A DataLoader that can tell where in an epoch it is, and go on from there.

    Its `sampler` is a BatchSampler. What counts is the batch in use, not those that workers have fetched in advance.
    """

    sampler: BatchSampler
    batch = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # as good as DataLoader's own iterators
        """Go through the batches of the epoch that has been set, or their rest."""
        self.batch = self.sampler.start
        for batch in super().__iter__():
            self.batch += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Note the epoch, and how many of its batches have been used."""
        return {"epoch": self.sampler.epoch, "batch": self.batch}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from there when iterated next."""
        self.sampler.epoch, self.sampler.start = state_dict["epoch"], state_dict["batch"]


PURPOSE = 2  # beside the order's 0 and the augmentation's 1


@dataclass(frozen=True, eq=False)
class Samples:
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

    def to(self, device: torch.device) -> "Samples":
        """Copy the part's own to a device, if they are not there."""
        return self if self.held.device == device else Samples(*(tensor.to(device) for tensor in self))


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
