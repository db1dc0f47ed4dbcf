"""ConvMuon against its definition: orthogonal steps for filters, torch's SGD for the rest."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from lamphouse.optim import ConvMuon
from lamphouse.optim.muon import orthogonal


def parameter(*shape: int, seed: int = 0) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def steps(optimizer: Any, parameter: nn.Parameter, count: int = 3) -> Tensor:
    """Take steps with the same gradients for each optimizer."""
    for step in range(count):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step))
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (64, 2, 3, 3), (5, 3, 2), (4, 2, 1, 1, 1)])
def test_a_filters_step_is_orthogonal(shape: tuple[int, ...]) -> None:
    filters = parameter(*shape)
    before = filters.detach() * (len(filters) ** 0.5 / filters.detach().norm())
    after = steps(ConvMuon([filters], lr=0.1), filters, count=1)
    singular = torch.linalg.svdvals((after - before).flatten(1) / 0.1)
    assert ((singular > 0.5) & (singular < 1.3)).all()


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (1, 9)])
def test_singular_vectors_are_kept(shape: tuple[int, int]) -> None:
    matrix = parameter(*shape).detach()
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    product = left.T @ orthogonal(matrix, steps=5) @ right.T
    assert (product - product.diagonal().diag()).abs().max() < 0.1
    assert (product.diagonal() > 0.5).all()


def test_autocast_changes_nothing() -> None:
    matrix = parameter(20, 60).detach()
    with torch.autocast("cpu", torch.bfloat16):
        within = orthogonal(matrix, steps=5)
    assert torch.equal(within, orthogonal(matrix, steps=5))


@pytest.mark.parametrize(
    ("shape", "options"),
    [((6, 4), {"head_lr": 0.3, "weight_decay": 0.03}), ((6,), {"vector_lr": 0.05}), ((6,), {"weight_decay": 0.02})],
)
def test_other_parameters_take_the_steps_of_sgd(shape: tuple[int, ...], options: dict[str, float]) -> None:
    mine, theirs = parameter(*shape), parameter(*shape)
    lr = options.get("head_lr", options.get("vector_lr", 0.1))
    sgd = SGD([theirs], lr=lr, momentum=0.85, nesterov=True, weight_decay=options.get("weight_decay", 0.0) / lr)
    torch.testing.assert_close(steps(ConvMuon([mine], **options), mine), steps(sgd, theirs))


def test_filters_keep_their_norm_in_any_memory_format() -> None:
    innermost, outermost = (parameter(8, 4, 3, 3) for _ in range(2))
    outermost.data = outermost.data.contiguous(memory_format=torch.channels_last)
    results = [steps(ConvMuon([filters]), filters, count=20) for filters in (innermost, outermost)]
    torch.testing.assert_close(*results)
    assert float(results[0].norm()) == pytest.approx(8**0.5, rel=0.5)


def test_it_continues_from_its_state() -> None:
    whole, halves = parameter(8, 4, 3, 3), parameter(8, 4, 3, 3)
    first = ConvMuon([whole])
    steps(first, whole, 3)
    expected = steps(first, whole, 3)
    before = ConvMuon([halves])
    steps(before, halves, 3)
    after = ConvMuon([halves])
    after.load_state_dict(before.state_dict())
    assert torch.equal(steps(after, halves, 3), expected)


def test_groups_and_closures() -> None:
    layer = nn.Conv2d(2, 3, 3)
    optimizer = ConvMuon([{"params": [layer.weight]}, {"params": [layer.bias], "weight_decay": 0.0}], lr=0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.1]
    before = [parameter.detach().clone() for parameter in layer.parameters()]

    def closure() -> Tensor:
        loss = layer(torch.ones(4, 2, 5, 5)).square().mean()
        loss.backward()
        return loss.detach()

    assert optimizer.step(closure) > 0
    assert not any(torch.equal(*pair) for pair in zip(before, layer.parameters(), strict=True))


def test_at_a_rate_of_zero_nothing_decays() -> None:
    still = parameter(6)
    assert torch.equal(steps(ConvMuon([still], vector_lr=0.0, weight_decay=0.1), still), parameter(6))
