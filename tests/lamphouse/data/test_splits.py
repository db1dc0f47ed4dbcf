"""Splits: disjoint, complete, stratified and seeded."""

import pytest
import torch
from torch import Tensor

from lamphouse.data.samples import stratified_split


@pytest.fixture
def labels() -> Tensor:
    """Label images of four classes, of 100, 50, 7 and 2, in a mixed order."""
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
