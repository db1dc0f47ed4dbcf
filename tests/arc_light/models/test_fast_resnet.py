"""The residual network for short runs."""

import pytest
import torch
from torch import nn

from arc_light.models.fast_resnet import FastResNet


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (3, 9)])
@pytest.mark.parametrize("widths", [(64, 256, 256), (8, 6), (4,)])
def test_shapes(channels: int, size: int, widths: tuple[int, ...]) -> None:
    network = FastResNet((channels, size, size), 7, widths)
    images = torch.randn(2, channels, size, size)
    assert network(images).shape == (2, 7)
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 2 * len(widths)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 32, 8), (1, 1, 1)])
def test_too_many_stages(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=f"too many stages for images of {shape[1]} by {shape[2]}"):
        FastResNet(shape, 7)


def test_convolutions_begin_as_identities() -> None:
    (reduce, _) = (layer for layer in FastResNet((1, 9, 9), 2, [12]).modules() if isinstance(layer, nn.Conv2d))
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(reduce(x)[:, :8], x)


def test_every_parameter_learns() -> None:
    network = FastResNet((3, 16, 16), 5, (8, 8))
    nn.functional.cross_entropy(network(torch.randn(8, 3, 16, 16)), torch.arange(8) % 5).backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters() if p.requires_grad)
