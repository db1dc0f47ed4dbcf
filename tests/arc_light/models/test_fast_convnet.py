"""The convolutional network for short runs, and its whitening layer."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arc_light.models.fast_convnet import FastConvNet, WhiteningConv2d


@pytest.mark.parametrize(("channels", "size", "widths"), [(3, 32, (64, 256, 256)), (1, 28, (8, 6)), (3, 9, (4,))])
def test_shapes(channels: int, size: int, widths: tuple[int, ...]) -> None:
    network = FastConvNet((channels, size, size), 7, widths)
    assert network(torch.randn(2, channels, size, size)).shape == (2, 7)
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 2 * len(widths)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 32, 8), (1, 1, 1)])
def test_too_many_stages(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=f"too many stages for images of {shape[1]} by {shape[2]}"):
        FastConvNet(shape, 7)


def test_convolutions_are_initialized_as_identities() -> None:
    (reduce, _) = (layer for layer in FastConvNet((1, 9, 9), 2, [12]).modules() if isinstance(layer, nn.Conv2d))
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(reduce(x)[:, :8], x)


def test_every_parameter_has_a_gradient() -> None:
    network = FastConvNet((3, 16, 16), 5, (8, 8))
    F.cross_entropy(network(torch.randn(8, 3, 16, 16)), torch.arange(8) % 5).backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters() if p.requires_grad)


def correlated_images(seed: int = 0) -> Tensor:
    """Blur noise, so that neighbouring pixels and channels are correlated, as in photographs."""
    noise = torch.randn(64, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(noise, 3, 1) + noise.mean(1, keepdim=True)[..., 1:-1, 1:-1]


def test_whitened_outputs_are_uncorrelated_and_of_variance_1() -> None:
    layer = WhiteningConv2d(3, eps=0.0)
    outputs = layer(correlated_images()).transpose(0, 1).flatten(1)
    assert outputs.shape[0] == layer.out_channels == 24
    torch.testing.assert_close(outputs[:12].cov(), torch.eye(12), atol=1e-3, rtol=0)
    assert torch.equal(outputs[12:], -outputs[:12])


def test_eps_limits_the_filters_of_constant_channels() -> None:
    constant = correlated_images() * torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1)
    layer = WhiteningConv2d(3, eps=0.01)
    assert layer(constant).isfinite().all()
    assert layer.weight.flatten(1).norm(dim=1).max() <= 10.01


def test_only_the_first_training_batch_sets_the_filters() -> None:
    layer, other = WhiteningConv2d(3).eval(), WhiteningConv2d(3)
    layer(correlated_images())
    assert not layer.weight.any()
    layer.train()(correlated_images())
    first = layer.weight.clone()
    other.load_state_dict(layer.state_dict())
    layer(correlated_images(seed=1)), other(correlated_images(seed=1))
    assert torch.equal(layer.weight, first)
    assert torch.equal(other.weight, first)
    assert [name for name, _ in layer.named_parameters()] == ["bias"]


def test_autocast_does_not_change_the_filters() -> None:
    mixed, full = WhiteningConv2d(3), WhiteningConv2d(3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed(correlated_images())
    full(correlated_images())
    assert torch.equal(mixed.weight, full.weight)
