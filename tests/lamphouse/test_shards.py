"""Samples streamed from chunks: the same as in memory, in an order that keeps few chunks in use, from any position."""

import pickle
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lamphouse.data import BatchSampler, Samples
from lamphouse.errors import InputError
from lamphouse.shards import StreamedSamples, check_chunks, checksum, write_part

pytest.importorskip("litdata", reason="make extra EXTRA=streaming installs what is tested here")
MANY, CHUNK = 115, 10  # samples, and those of a chunk: twelve chunks, the last not full


def streamed(samples: Samples, mixed: int = 2) -> StreamedSamples:
    row = sum(values[:1].nbytes for values in samples[:])
    return write_part(Path("part"), samples, CHUNK * row, mixed)


@pytest.fixture
def images() -> Samples:
    return Samples(
        torch.randint(256, (MANY + 5, 3, 4, 5), dtype=torch.uint8), torch.arange(MANY + 5, dtype=torch.uint8)
    ).split(0.05, 0)[0]


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (torch.randint(256, (MANY, 2, 3), dtype=torch.uint8), torch.randint(-2, 300, (MANY,))),
        (torch.randn(MANY, 7), torch.randn(MANY, dtype=torch.float64)),
        (torch.arange(MANY + 8).unfold(0, 9, 1), torch.rand(MANY, 3) > 0.5),
        (torch.randint(2**40, (MANY, 1)), torch.randint(9, (MANY, 4, 4), dtype=torch.int16)),
    ],
)
def test_samples_come_back_as_they_were(inputs: Tensor, targets: Tensor) -> None:
    samples = Samples(inputs, targets)
    part = write_part(Path("part"), samples, 100, mixed=1)
    assert len(part) == MANY
    assert checksum(part) == checksum(samples)
    some = torch.randperm(MANY)[:50]
    for read in (part, pickle.loads(pickle.dumps(part))):  # noqa: S301  # our own
        for indices in (slice(None), slice(3, 40, 2), some, torch.tensor([17]), torch.tensor([5, 5, 0]), some[:0]):
            for found, expected in zip(read[indices], samples[indices], strict=True):
                assert found.dtype == expected.dtype
                assert torch.equal(found, expected)


def test_an_order_has_each_sample_once_and_few_chunks_in_use(images: Samples) -> None:
    part = streamed(images)
    assert len(images) == MANY - 1  # those of a part of a data set
    orders = [part.shuffled(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    for order in orders:
        assert order.sort().values.tolist() == list(range(len(images)))
        changes = sum(first != then for first, then in pairwise((order // CHUNK).tolist()))
        assert changes > len(order) // 4  # within two chunks at a time, samples are mixed
        assert all(len((order[first : first + CHUNK] // CHUNK).unique()) <= 4 for first in range(len(order)))
    part.mixed = 12  # all chunks
    ours, memory = (BatchSampler(len(images), 7, train=True, shuffled=one) for one in (part.shuffled, None))
    assert all(torch.equal(here, there) for (_, here), (_, there) in zip(ours, memory, strict=True))


@pytest.mark.parametrize(("world_size", "later"), [(1, 2), (2, 1), (4, 4)])
def test_an_epoch_goes_on_from_any_position_with_each_sample_once(images: Samples, world_size: int, later: int) -> None:
    part = streamed(images)

    def epoch(world_size: int, start: int) -> list[list[Tensor]]:
        options = {"train": True, "world_size": world_size, "shuffled": part.shuffled}
        ranks = [BatchSampler(len(part), 4, 3, rank=rank, **options) for rank in range(world_size)]
        for sampler in ranks:
            sampler.start = start
        return [[indices for _, indices in sampler] for sampler in ranks]

    used = torch.cat([indices for rank in epoch(world_size, 0) for indices in rank[:5]])
    rest = torch.cat([indices for rank in epoch(later, 5 * 4 * world_size) for indices in rank])
    assert torch.cat([used, rest]).sort().values.tolist() == list(range(len(part)))


def test_a_file_that_was_cut_is_told(images: Samples) -> None:
    folder = streamed(images).folder
    check_chunks(folder)
    path = folder / "chunk-0-11.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="bytes instead of"):
        check_chunks(folder)


def test_litdata_can_be_missing(images: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamphouse.shards.find_spec", lambda name: None)
    with pytest.raises(InputError, match="make extra EXTRA=streaming"):
        streamed(images)
