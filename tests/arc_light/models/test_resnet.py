"""Residual networks of every depth, stem and width, and pretrained weights from a local file."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import ResNet18_Weights

from lamphouse.errors import InputError
from arc_light.models.resnet import Depth, ImageNetResNet, SmallImageResNet, Stem, resnet


@pytest.mark.parametrize("depth", [8, 14, 20, 32, 56])
@pytest.mark.parametrize(("channels", "size", "width"), [(1, 8, 4), (3, 32, None), (1, 28, 6)])
def test_small_depths(depth: Depth, channels: int, size: int, width: int | None) -> None:
    with torch.device("meta"):  # shapes without numbers
        network = resnet((channels, size, size), 7, depth, width)
    assert isinstance(network, SmallImageResNet)
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


@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize("stem", ["small", "large"])
@pytest.mark.parametrize("width", [8, 64])
def test_imagenet_depths(depth: Depth, stem: Stem, width: int) -> None:
    with torch.device("meta"):
        network = resnet((1, 32, 32), 7, depth, width, stem)
    assert isinstance(network, ImageNetResNet)
    assert network.conv1.kernel_size == ((3, 3) if stem == "small" else (7, 7))
    assert network.fc.in_features == width * 8 * (4 if depth == 50 else 1)
    assert network(torch.zeros(2, 1, 32, 32, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_imagenet_depths_have_torchvisions_layers(depth: Depth) -> None:
    with torch.device("meta"):
        ours, theirs = resnet((3, 224, 224), 1000, depth), torchvision.models.get_model(f"resnet{depth}")
    assert str(ours).replace("ImageNetResNet", "ResNet") == str(theirs)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


@torch.inference_mode()
def test_imagenet_depths_compute_what_torchvisions_do() -> None:
    ours, theirs = resnet((3, 64, 64), 1000, 18).eval(), torchvision.models.resnet18().eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))


@torch.inference_mode()
@pytest.mark.parametrize("depth", [8, 56])
def test_logits_stay_finite(depth: Depth) -> None:
    assert resnet((1, 8, 8), 7, depth, 4)(torch.randn(4, 1, 8, 8)).isfinite().all()


@pytest.mark.parametrize(("size", "kernel"), [(8, 3), (63, 3), (64, 7), (224, 7)])
def test_the_stem_follows_from_the_size(size: int, kernel: int) -> None:
    assert resnet((3, size, size), 2, 18, 8).conv1.kernel_size == (kernel, kernel)


@pytest.fixture
def pretrained(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Write the weights of a ResNet-18 to a file, and have it loaded instead of a download."""
    state = torchvision.models.resnet18().state_dict()
    path = Path("resnet18.pth").absolute()
    torch.save(state, path)

    def load(url: str, **options: object) -> object:
        assert url == ResNet18_Weights.DEFAULT.url
        assert options["check_hash"]
        return torch.load(path, weights_only=True)

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    return state


@pytest.mark.parametrize("name", ["DEFAULT", "IMAGENET1K_V1"])
def test_pretrained_weights_are_loaded_and_the_head_replaced(pretrained: dict[str, torch.Tensor], name: str) -> None:
    network = resnet((3, 32, 32), 5, 18, weights=name)
    loaded = network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in pretrained.items() if not key.startswith("fc."))
    assert loaded["fc.weight"].shape == (5, 512)
    assert network.conv1.kernel_size == (7, 7)


@pytest.mark.parametrize("options", [{"width": 32}, {"stem": "small"}, {"depth": 20}])
def test_weights_that_fit_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="weights"):
        resnet((3, 32, 32), 5, **{"depth": 18, "weights": "DEFAULT", **options})


def test_weights_need_three_channels() -> None:
    with pytest.raises(ValueError, match="1 channel"):
        resnet((1, 32, 32), 5, 18, weights="DEFAULT")


def test_weights_of_an_unknown_name_are_refused() -> None:
    with pytest.raises(InputError, match=r"FOO.*IMAGENET1K_V1"):
        resnet((3, 64, 64), 5, 18, weights="FOO")


def test_small_depths_have_no_large_stem() -> None:
    with pytest.raises(ValueError, match=r"depth 20 .*choose a depth of 18, 34 or 50"):
        resnet((3, 32, 32), 5, 20, stem="large")


def test_a_block_adds_its_input() -> None:
    network = resnet((1, 4, 4), 2, 8, 4).eval()
    block = network[3]
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 4, 4, 4)
    torch.testing.assert_close(block(x), x)
