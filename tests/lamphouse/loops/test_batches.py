"""The batches of an epoch, from any loader."""

from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler, TensorDataset

from lamphouse.loops import batches

NUMBERS = TensorDataset(torch.arange(10))


class ByEpoch(Sampler[int]):
    """Goes from the epoch's number upwards."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Any:
        return iter([(self.epoch + i) % 10 for i in range(10)])

    def __len__(self) -> int:
        return 10


def numbers(loader: DataLoader[Any], count: int = 3, sign: int = 1) -> list[list[int]]:
    return [batch[0].tolist() for batch in batches(loader, count, lambda batch: [sign * batch[0]], None, epoch=3)]


def test_each_epoch_has_its_order() -> None:
    for loader in (
        DataLoader(NUMBERS, 4, sampler=ByEpoch()),
        DataLoader(NUMBERS, batch_sampler=BatchSampler(ByEpoch(), 4, drop_last=False)),
    ):
        assert numbers(loader) == [[3, 4, 5, 6], [7, 8, 9, 0], [1, 2]]


def test_they_are_limited_and_prepared() -> None:
    assert numbers(DataLoader(NUMBERS, 4), count=2, sign=-1) == [[0, -1, -2, -3], [-4, -5, -6, -7]]


def test_a_sampler_is_not_exhausted() -> None:
    random = torch.Generator().manual_seed(0)
    loader = DataLoader(NUMBERS, 5, sampler=RandomSampler(NUMBERS, generator=random))
    state = None
    for _ in batches(loader, 2, lambda batch: batch, None, epoch=0):
        state = random.get_state()
    assert torch.equal(random.get_state(), state)  # a last `next` would have drawn another permutation
