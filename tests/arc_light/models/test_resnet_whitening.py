"""The whitening layer decorrelates what it sees first, and stays as it is from then on."""

import torch
from torch import Tensor
from torch.nn import functional as F

from arc_light.models.fast_resnet import WhiteningConv2d


def images(size: int = 64, seed: int = 0) -> Tensor:
    """Blur noise, so that neighbours and channels are alike, as in photographs."""
    noise = torch.randn(size, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(noise, 3, 1) + noise.mean(1, keepdim=True)[..., 1:-1, 1:-1]


def test_outputs_are_uncorrelated_and_of_variance_1() -> None:
    layer = WhiteningConv2d(3, eps=0.0)
    outputs = layer(images()).transpose(0, 1).flatten(1)
    assert outputs.shape[0] == layer.out_channels == 24
    torch.testing.assert_close(outputs[:12].cov(), torch.eye(12), atol=1e-3, rtol=0)
    assert torch.equal(outputs[12:], -outputs[:12])


def test_eps_bounds_what_hardly_varies() -> None:
    flat = images() * torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1)
    layer = WhiteningConv2d(3, eps=0.01)
    assert layer(flat).isfinite().all()
    assert layer.weight.flatten(1).norm(dim=1).max() <= 10.01


def test_only_the_first_training_batch_sets_it() -> None:
    layer = WhiteningConv2d(3).eval()
    layer(images())
    assert not layer.weight.any()
    layer.train()
    layer(images())
    first = layer.weight.clone()
    layer(images(seed=1))
    assert torch.equal(layer.weight, first)
    assert [name for name, _ in layer.named_parameters()] == ["bias"]


def test_a_checkpoints_filters_stay() -> None:
    first, second = WhiteningConv2d(3), WhiteningConv2d(3)
    first(images())
    second.load_state_dict(first.state_dict())
    second(images(seed=1))
    assert torch.equal(second.weight, first.weight)


def test_it_is_measured_in_full_precision() -> None:
    mixed, full = WhiteningConv2d(3), WhiteningConv2d(3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed(images())
    full(images())
    assert torch.equal(mixed.weight, full.weight)
