"""Samples in memory: splits, whole batches, and their order, shared out between processes."""

from itertools import chain
from time import process_time

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lamphouse.data.samples import (
    ALTERNATE,
    AUGMENT,
    ORDER,
    SPLIT,
    BatchSampler,
    SampleBatches,
    Samples,
    generator,
    stratified_split,
)

IMAGES = torch.arange(23 * 4, dtype=torch.uint8).view(23, 1, 2, 2)
LABELS = torch.arange(23) % 3
NEW = [False]  # a draw that does not alternate


def order(sampler: BatchSampler) -> list[int]:
    return list(chain.from_iterable(indices.tolist() for _, indices in sampler))


def test_a_key_fetches_its_batch() -> None:
    indices = torch.tensor([7, 0, 22])
    images, labels = SampleBatches(Samples(IMAGES, LABELS))[0, indices]
    assert torch.equal(images, IMAGES[indices])
    assert torch.equal(labels, LABELS[indices])
    assert images.dtype == torch.uint8


def test_draws_are_uniform_and_an_images_own() -> None:
    *_, draws, epoch = SampleBatches(Samples(torch.zeros(5000, 1, 1, 1), torch.zeros(5000)), NEW * 3)[
        7, torch.arange(5000)
    ]
    assert epoch == 7
    assert draws.shape == (5000, 3)
    assert ((draws >= 0) & (draws < 1)).all()
    assert draws.mean(0).tolist() == pytest.approx([0.5] * 3, abs=0.02)
    assert draws.std(0).tolist() == pytest.approx([12**-0.5] * 3, abs=0.02)
    assert torch.corrcoef(draws.T).fill_diagonal_(0).abs().max() < 0.05  # columns tell nothing of each other
    assert torch.corrcoef(torch.stack([draws[:-1, 0], draws[1:, 0]]))[0, 1].abs() < 0.05  # nor do neighbours
    assert len(draws[:, 0].unique()) > 4900


def test_draws_follow_from_seed_epoch_and_image_alone() -> None:
    def drawn(seed: int, epoch: int, indices: list[int]) -> Tensor:
        return SampleBatches(Samples(IMAGES, LABELS), NEW * 2, seed)[epoch, torch.tensor(indices)][2]

    torch.manual_seed(0)
    whole = drawn(1, 3, list(range(23)))
    torch.manual_seed(1)
    assert torch.equal(drawn(1, 3, [22, 4]), whole[[22, 4]])
    assert not torch.equal(drawn(2, 3, [22, 4]), whole[[22, 4]])
    assert not torch.equal(drawn(1, 4, [22, 4]), whole[[22, 4]])


def test_an_epoch_drawn_again_is_the_same() -> None:
    batches, indices = SampleBatches(Samples(IMAGES, LABELS), NEW * 2), torch.arange(23)
    first = batches[0, indices][2].clone()
    assert not torch.equal(batches[1, indices][2], first)
    assert torch.equal(batches[0, indices][2], first)


def test_a_draw_that_alternates_goes_half_way_round() -> None:
    batches, indices = (
        SampleBatches(Samples(torch.zeros(5000, 1, 1, 1), torch.zeros(5000)), [True, False]),
        torch.arange(5000),
    )
    first, second, third = (batches[epoch, indices][2].clone() for epoch in range(3))
    assert torch.equal(third[:, 0], first[:, 0])
    torch.testing.assert_close((second[:, 0] - first[:, 0]).abs(), torch.full((5000,), 0.5))
    assert not torch.equal(third[:, 1], first[:, 1])
    assert first[:, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert torch.corrcoef(first.T)[0, 1].abs() < 0.05


def test_no_two_purposes_share_their_random_numbers() -> None:
    """A key of two numbers, as the split once had, is padded to the key of an epoch."""
    purposes = (ORDER, AUGMENT, ALTERNATE, SPLIT)
    keys = [(purpose, seed, epoch) for purpose in purposes for seed in range(4) for epoch in range(4)]
    assert len({generator(*key).initial_seed() for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("size", "batch_size", "world_size", "sizes"),
    [
        (23, 11, 1, [11, 12]),
        (22, 7, 1, [7, 7, 8]),
        (23, 7, 1, [7, 7, 7, 2]),
        (23, 1, 1, [1] * 23),
        (1, 4, 1, [1]),
        (17, 4, 2, [4, 5]),
        (18, 4, 2, [4, 5]),
        (19, 4, 2, [4, 4, 2]),
    ],
)
def test_a_last_batch_of_one_joins_the_one_before(
    size: int, batch_size: int, world_size: int, sizes: list[int]
) -> None:
    for rank in range(world_size):
        sampler = BatchSampler(size, batch_size, 1, train=True, rank=rank, world_size=world_size)
        batches = [indices for _, indices in sampler]
        assert [len(indices) for indices in batches] == sizes
        assert len(sampler) == len(sizes)
        sampler.start = len(sizes) - 1
        assert torch.equal(next(iter(sampler))[1], batches[-1])
        evaluated = BatchSampler(size, batch_size, rank=rank, world_size=world_size)
        assert {len(indices) for _, indices in evaluated} <= {*range(1, batch_size + 1)}


@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
def test_training_sees_every_image_once_in_an_order_of_the_epoch(batch_size: int) -> None:
    sampler = BatchSampler(23, batch_size, seed=1, train=True)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(order(sampler))
        assert sorted(orders[-1]) == list(range(23))
        assert len(list(sampler)) == len(sampler) == -(-23 // batch_size)
    assert orders[0] != orders[1] != orders[2] != list(range(23))


def test_the_order_does_not_depend_on_the_batch_size_or_the_global_seed() -> None:
    torch.manual_seed(0)
    first = order(BatchSampler(23, 4, seed=1, train=True))
    torch.manual_seed(1)
    assert order(BatchSampler(23, 7, seed=1, train=True)) == first
    assert order(BatchSampler(23, 7, seed=2, train=True)) != first


def test_evaluation_goes_in_order() -> None:
    sampler = BatchSampler(23, 5)
    sampler.set_epoch(3)
    assert [len(indices) for _, indices in sampler] == [5, 5, 5, 5, 3]
    assert order(sampler) == list(range(23))


@pytest.mark.parametrize("size", [16, 17, 23, 24])
@pytest.mark.parametrize("world_size", [2, 3])
def test_training_gives_every_process_as_many_steps_and_images(size: int, world_size: int) -> None:
    ranks = [BatchSampler(size, 4, 1, train=True, rank=rank, world_size=world_size) for rank in range(world_size)]
    steps = [[indices.tolist() for _, indices in rank] for rank in ranks]
    assert [len(rank) for rank in ranks] == [len(taken) for taken in steps]
    for together in zip(*steps, strict=True):
        assert len({len(indices) for indices in together}) == 1
    seen = torch.bincount(torch.tensor([*chain.from_iterable(chain.from_iterable(steps))]), minlength=size)
    assert seen.min() == 1
    assert int(seen.sum()) == -(-size // world_size) * world_size


@pytest.mark.parametrize("size", [1, 16, 17, 23, 24])
@pytest.mark.parametrize("world_size", [2, 3])
def test_evaluation_repeats_nothing_between_processes(size: int, world_size: int) -> None:
    ranks = [BatchSampler(size, 4, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(chain.from_iterable(order(rank) for rank in ranks)) == list(range(size))
    assert [len(rank) for rank in ranks] == [len(list(rank)) for rank in ranks]


def test_two_processes_step_through_the_batches_of_one_with_twice_the_batch() -> None:
    one = [sorted(indices.tolist()) for _, indices in BatchSampler(24, 8, 1, train=True)]
    two = [BatchSampler(24, 4, 1, train=True, rank=rank, world_size=2) for rank in range(2)]
    pairs = zip(*two, strict=True)
    assert [sorted([*a.tolist(), *b.tolist()]) for (_, a), (_, b) in pairs] == one


def test_workers_fetch_the_same_batches() -> None:
    def fetched(num_workers: int) -> list[tuple[list[Tensor], int]]:
        sampler = BatchSampler(23, 4, 1, train=True)
        batches = SampleBatches(Samples(IMAGES, LABELS), NEW * 2)
        loader = DataLoader(batches, None, sampler=sampler, num_workers=num_workers, generator=generator(ORDER, 0))
        epochs = []
        for epoch in range(2):
            sampler.set_epoch(epoch)
            epochs += [(tensors, number) for *tensors, number in loader]
        return epochs

    for (alone, epoch), (by_workers, same) in zip(fetched(0), fetched(2), strict=True):
        assert epoch == same
        assert all(map(torch.equal, alone, by_workers))


@pytest.fixture
def labels() -> Tensor:
    """Return labels of four classes, of 100, 50, 7 and 2 samples, in random order."""
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor([100, 50, 7, 2]))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(5))]


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_parts_are_disjoint_and_complete(labels: Tensor, fraction: float, seed: int) -> None:
    larger, smaller = stratified_split(labels, fraction, seed)
    assert sorted([*larger.tolist(), *smaller.tolist()]) == list(range(len(labels)))
    assert larger.tolist() == sorted(larger.tolist())
    assert smaller.tolist() == sorted(smaller.tolist())


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_each_class_gives_its_share(labels: Tensor, fraction: float) -> None:
    _, smaller = stratified_split(labels, fraction, seed=0)
    shares = torch.bincount(labels[smaller], minlength=4).tolist()
    assert shares[:3] == [round(100 * fraction), round(50 * fraction), max(round(7 * fraction), 1)]
    assert shares[3] == 1


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_each_class_of_two_is_in_both_parts(labels: Tensor, fraction: float) -> None:
    for part in stratified_split(labels, fraction, seed=0):
        assert labels[part].unique().tolist() == [0, 1, 2, 3]


def test_a_class_of_one_stays_in_the_larger_part() -> None:
    larger, smaller = stratified_split(torch.tensor([0, 0, 0, 1]), 0.5, seed=0)
    assert 3 in larger
    assert 3 not in smaller


def test_the_split_follows_from_the_seed_alone(labels: Tensor) -> None:
    torch.manual_seed(1)
    first = stratified_split(labels, 0.2, seed=3)
    torch.manual_seed(2)
    again = stratified_split(labels, 0.2, seed=3)
    other = stratified_split(labels, 0.2, seed=4)
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def test_the_images_put_aside_are_spread_over_the_class() -> None:
    _, smaller = stratified_split(torch.zeros(1000, dtype=torch.long), 0.5, seed=0)
    assert torch.histc(smaller.float(), bins=4, min=0, max=1000).tolist() == pytest.approx([125] * 4, abs=25)


@pytest.mark.slow
def test_a_split_of_many_classes_is_quick() -> None:
    labels = torch.randint(10_000, (1_000_000,))
    start = process_time()
    _, smaller = stratified_split(labels, 0.1, seed=0)
    assert process_time() - start < 10  # one pass a class took 48 s
    assert len(labels[smaller].unique()) == 10_000


@pytest.mark.parametrize("targets", [torch.arange(40) / 3, torch.arange(40), torch.zeros(40, 2).long()])
def test_targets_that_are_no_labels_are_split_regardless_of_them(targets: Tensor) -> None:
    larger, smaller = Samples(torch.arange(40), targets).split(0.25, seed=1)
    assert (len(larger), len(smaller)) == (30, 10)
    assert sorted([*larger[:][0].tolist(), *smaller[:][0].tolist()]) == list(range(40))


def test_a_part_can_be_split_again_and_moved() -> None:
    whole = Samples(torch.arange(90).view(30, 3), torch.arange(30) % 2)
    part, rest = whole.split(0.5, seed=0)
    larger, smaller = part.split(0.4, seed=0)
    assert larger.inputs is whole.inputs
    assert sorted(torch.cat([larger[:][1], smaller[:][1], rest[:][1]]).tolist()) == [0] * 15 + [1] * 15
    assert (larger[:][0] % 2 == larger[:][1][:, None] ^ torch.tensor([0, 1, 0])).all()  # rows keep their targets
    assert part.to(torch.device("cpu")) is part
    assert part.to(torch.device("meta")).inputs.shape == (len(part), 3)
    assert larger.nbytes == len(larger) * 4 * 8


@pytest.mark.parametrize(
    ("targets", "per_class"),
    [
        (torch.arange(50).clamp(max=30) % 3, True),  # 10, 30 and 10 of a class
        (torch.arange(50) / 3, False),
    ],
)
def test_folds_are_even_disjoint_and_have_every_sample(targets: Tensor, per_class: bool) -> None:
    samples = Samples(torch.arange(50), targets)
    held_out = []
    for fold in range(4):
        larger, smaller = samples.split_fold(4, fold, seed=7)
        assert sorted([*larger[:][0].tolist(), *smaller[:][0].tolist()]) == list(range(50))
        held_out.append(smaller)
    assert sorted(torch.cat([part[:][0] for part in held_out]).tolist()) == list(range(50))
    assert sorted(len(part) for part in held_out) == [12, 12, 13, 13]
    if per_class:
        counts = torch.stack([part[:][1].bincount(minlength=3) for part in held_out])
        assert (counts.amax(0) - counts.amin(0)).max() <= 1
    again, other = (samples.split_fold(4, 0, seed)[1][:][0] for seed in (7, 8))
    assert torch.equal(held_out[0][:][0], again)
    assert not torch.equal(again, other)


def test_windows_that_overlap_are_moved_without_a_copy_of_each() -> None:
    windows = torch.arange(100).unfold(0, 11, 1)
    samples = Samples(windows[:, :-1], windows[:, 1:])
    moved = samples.to(torch.device("meta"))
    assert moved.inputs.untyped_storage().nbytes() == 800
    assert moved.targets.stride() == (1, 1)
