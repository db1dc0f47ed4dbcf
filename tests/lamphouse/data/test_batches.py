"""Whole batches, and their order, shared out between processes."""

from itertools import chain

import pytest
import torch
from gloo_ranks import measure_digits, run_ranks
from torch import Tensor
from torch.utils.data import DataLoader

from lamphouse.data.batches import BatchLoader, BatchSampler, SampleBatches
from lamphouse.data.samples import ALTERNATE, AUGMENT, ORDER, SPLIT, Samples, generator

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
        (18, 4, 2, [4, 5]),
        (20, 4, 2, [4, 4, 2]),
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
        sampler.start = (len(sizes) - 1) * batch_size * world_size
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


def steps_of(size: int, together: int, world_size: int, train: bool, start: int = 0) -> list[list[list[int]]]:
    """List the shares of the processes of each step, which all take as many, as their number says."""
    shares = []
    for rank in range(world_size):
        sampler = BatchSampler(size, together // world_size, 1, train=train, rank=rank, world_size=world_size)
        sampler.start = start
        shares.append([indices.tolist() for _, indices in sampler])
        assert len(sampler) - sampler.number == len(shares[-1])
        assert sampler.number >= (start > 0 and start % together == 0)
    return [list(step) for step in zip(*shares, strict=True)]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [1, 3, 5, 8, 9, 16, 17, 23, 24, 31])
def test_steps_do_not_depend_on_the_number_of_processes(size: int, train: bool) -> None:
    """A last step with a single sample for some process joins the one before; nothing comes twice."""
    alone = [sorted(share) for (share,) in steps_of(size, 8, 1, train)]
    for world_size in (2, 4):
        steps = steps_of(size, 8, world_size, train)
        least = min(map(len, chain.from_iterable(steps)))
        if train and size < 2 * world_size:
            assert least >= 2  # for batch normalization
            assert {*chain.from_iterable(chain.from_iterable(steps))} == set(range(size))
            continue
        assert least >= 1 + train or size < world_size
        together = [sorted(chain.from_iterable(step)) for step in steps]
        assert sorted(chain.from_iterable(together)) == list(range(size))
        assert together == alone or [*together[:-1], together[-1]] == [*alone[:-2], sorted(alone[-2] + alone[-1])]


@pytest.mark.parametrize("size", [24, 39, 41])
@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [2, 4])
def test_another_number_of_processes_uses_the_rest_of_an_epoch_once(
    size: int, before: int, after: int, batch_size: int
) -> None:
    def used(steps: list[list[list[int]]]) -> list[int]:
        return [*chain.from_iterable(chain.from_iterable(steps))]

    begun = steps_of(size, 4 * before, before, train=True)
    for stop in range(1, len(begun)):
        first = used(begun[:stop])
        rest = used(steps_of(size, batch_size * after, after, train=True, start=len(first)))
        assert sorted([*first, *rest]) == list(range(size)) or size - len(first) < 2 * after


def test_a_loader_continues_from_a_position_in_samples() -> None:
    def loader(batch_size: int, world_size: int) -> BatchLoader:
        sampler = BatchSampler(23, batch_size, 1, train=True, world_size=world_size)
        return BatchLoader(SampleBatches(Samples(IMAGES, LABELS)), batch_size=None, sampler=sampler)

    two, one = loader(4, 2), loader(8, 1)
    next(iter(two))
    assert two.state_dict() == {"epoch": 0, "samples": 8}
    one.load_state_dict(two.state_dict())
    assert [len(labels) for _, labels in one] == [8, 7]
    assert one.number == 1
    two.load_state_dict({"epoch": 3, "batch": 2})  # as earlier versions saved it
    assert two.sampler.start == 16


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


@pytest.mark.slow
def test_metrics_and_shares_of_two_processes() -> None:
    alone = measure_digits()
    first, second = run_ranks(measure_digits, 2)
    assert first["loaded by"] == second["loaded by"]  # once, and both have what loading has set
    for name in ("loss", "acc"):
        assert first["val"][name] == second["val"][name] == pytest.approx(alone["val"][name], rel=1e-5)
    assert first["val"]["images"] + second["val"]["images"] == alone["val"]["images"] == 143
    together = torch.cat([first["val"]["labels"], second["val"]["labels"]])
    assert torch.equal(together.sort().values, alone["val"]["labels"].sort().values)  # nothing twice, nothing missing
    assert first["train"]["steps"] == second["train"]["steps"] == 13
    assert (first["train"]["images"], second["train"]["images"]) == (648, 647)
