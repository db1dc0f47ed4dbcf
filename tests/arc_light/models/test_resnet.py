"""Residual networks of every depth, stem and width, and pretrained weights from a local file."""

import pytest
import torch
import torchvision
from torch import nn

from lamphouse.errors import InputError
from arc_light.models.resnet import Depth, Stem, resnet


@pytest.mark.parametrize("depth", [8, 14, 20, 32, 56])
@pytest.mark.parametrize(("channels", "size", "width"), [(1, 8, 4), (3, 32, None)])
def test_small_depths(depth: Depth, channels: int, size: int, width: int | None) -> None:
    with torch.device("meta"):  # shapes without numbers
        network = resnet((channels, size, size), 7, depth, width)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    projections = sum(isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) for m in layers)
    assert len(layers) - projections == depth
    assert layers[-1].in_features == 4 * (width or 16)
    assert network(torch.zeros(2, channels, size, size, device="meta")).shape == (2, 7)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_small_depths_have_the_papers_parameters(depth: Depth, millions: float) -> None:
    """arXiv:1512.03385, table 6; projections, where the paper pads, add a little."""
    with torch.device("meta"):
        network = resnet((3, 32, 32), 10, depth)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_a_block_adds_its_input() -> None:
    block = resnet((1, 4, 4), 2, 8, 4).eval()[3]
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 4, 4, 4)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize("stem", ["small", "large"])
@pytest.mark.parametrize("width", [8, 64])
def test_imagenet_depths(depth: Depth, stem: Stem, width: int) -> None:
    with torch.device("meta"):
        network = resnet((1, 32, 32), 7, depth, width, stem)
    assert network.conv1.kernel_size == ((3, 3) if stem == "small" else (7, 7))
    assert network.fc.in_features == width * 8 * (4 if depth == 50 else 1)
    assert network(torch.zeros(2, 1, 32, 32, device="meta")).shape == (2, 7)


@pytest.mark.parametrize(("size", "kernel"), [(63, 3), (64, 7)])
def test_the_stem_follows_from_the_size(size: int, kernel: int) -> None:
    assert resnet((3, size, size), 2, 18, 8).conv1.kernel_size == (kernel, kernel)


@torch.inference_mode()
def test_pretrained_weights_keep_all_but_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    original = torchvision.models.resnet18().eval()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: original.state_dict())
    network = resnet((3, 64, 64), 5, 18, weights="DEFAULT").eval()
    assert network.fc.out_features == 5
    network.fc = original.fc
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(images), original(images))


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        (3, {"weights": "DEFAULT", "width": 32}, "need stem 'large', width 64 and 3 channels"),
        (3, {"weights": "DEFAULT", "stem": "small"}, "need stem 'large', width 64 and 3 channels"),
        (1, {"weights": "DEFAULT"}, "1 channel"),
        (3, {"weights": "FOO"}, "FOO.*IMAGENET1K_V1"),
        (3, {"depth": 20, "weights": "DEFAULT"}, "depth 20 .*choose a depth of 18, 34 or 50"),
        (3, {"depth": 20, "stem": "large"}, "depth 20 .*choose a depth of 18, 34 or 50"),
    ],
)
def test_options_that_contradict_each_other(channels: int, options: dict[str, object], message: str) -> None:
    with pytest.raises((InputError, ValueError), match=message):
        resnet((channels, 64, 64), 5, **{"depth": 18, **options})
