"""Samples in memory, and how they are split."""

from time import process_time

import pytest
import torch
from torch import Tensor

from lamphouse.data.samples import Samples, stratified_split


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
