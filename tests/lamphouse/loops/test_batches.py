"""Batches of an epoch."""

from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler, SequentialSampler, TensorDataset

from lamphouse.loops.batches import Batches

CPU = torch.device("cpu")
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


def numbers(batches: Batches, epoch: int = 0) -> list[list[int]]:
    return [batch[0].tolist() for batch in batches.epoch(epoch)]


def test_each_epoch_has_its_order() -> None:
    for loader in (
        DataLoader(NUMBERS, 4, sampler=ByEpoch()),
        DataLoader(NUMBERS, batch_sampler=BatchSampler(ByEpoch(), 4, drop_last=False)),
    ):
        assert numbers(Batches(loader, CPU), 3) == [[3, 4, 5, 6], [7, 8, 9, 0], [1, 2]]


def test_a_sampler_without_epochs_is_left_alone() -> None:
    assert numbers(Batches(DataLoader(NUMBERS, 4, sampler=SequentialSampler(NUMBERS)), CPU)) == numbers(
        Batches(DataLoader(NUMBERS, 4), CPU), 7
    )


def test_they_are_limited_and_prepared() -> None:
    batches = Batches(DataLoader(NUMBERS, 4), CPU, lambda batch: [-batch[0]], count=2)
    assert len(batches) == 2
    assert numbers(batches) == [[0, -1, -2, -3], [-4, -5, -6, -7]]


def test_a_sampler_is_not_exhausted() -> None:
    random = torch.Generator().manual_seed(0)
    loader = DataLoader(NUMBERS, 5, sampler=RandomSampler(NUMBERS, generator=random))
    state = None
    for _ in Batches(loader, CPU).epoch(0):
        state = random.get_state()
    assert torch.equal(random.get_state(), state)  # a last `next` would have drawn another permutation
