"""Networks by name: torchvision's, those of timm and of the user's own, with and without pretrained weights."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from conftest import Outcome
from torch import nn

from lamphouse.errors import InputError
from lamphouse.networks import build_network, torchvision_resnet
from arc_light.models.network import NetworkClassifier

TINY = "torchvision.models.squeezenet1_1"
NETWORKS = {
    "resnet18": ((1, 8, 8), {}),
    "mobilenet_v3_small": ((1, 8, 8), {"dropout": 0.1}),
    "squeezenet1_1": ((3, 32, 32), {}),
    "efficientnet_b0": ((1, 28, 28), {}),
    "densenet121": ((4, 32, 32), {}),
    "vgg11": ((3, 32, 32), {"init_weights": False}),
    "vit_b_16": ((1, 32, 32), {"image_size": 32}),
    "googlenet": ((3, 32, 32), {"init_weights": False, "aux_logits": False}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape", "options"), [(name, *given) for name, given in NETWORKS.items()])
def test_networks_of_torchvision(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    network = build_network(f"torchvision.models.{name}", shape, 7, None, options)
    network(torch.randn(2, *shape)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


BAD_NETWORKS = {
    "no module": ("resnet18", {}, "expected an import path such as"),
    "Python's own": ("os.system", {}, "expected an import path such as"),
    "built in": ("builtins.exec", {}, "expected an import path such as"),
    "nothing installed": ("nowhere.net", {}, "No module named 'nowhere': name a function or class that is installed"),
    "no such name": ("torchvision.models.resnet19", {}, "no attribute 'resnet19'"),
    "no classes": ("torch.nn.ReLU", {}, "takes no num_classes"),
    "a module": ("torchvision.models", {}, "takes no num_classes"),
    "no signature": ("numpy.zeros", {}, "takes no num_classes"),
    "no network": ("builders.dictionary", {}, "returns dict, not a torch.nn.Module"),
    "unknown option": (TINY, {"foo": 1}, "unexpected keyword argument 'foo': see --model.network_args"),
    "too small an image": (TINY, {"input_shape": (3, 8, 8)}, r"takes no images of 3 by 8 by 8 \(.*too small\)"),
    "other outputs": ("builders.Auxiliary", {}, "returns tuple in training, not logits: turn auxiliary outputs off"),
    "other shape": ("builders.Flat", {}, r"returns \[2, 4\], not \[2, 5\]"),
}


@pytest.fixture
def builders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer networks of the user's own as module `builders`."""

    class Auxiliary(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.head = nn.Linear(3 * 32 * 32, num_classes)

        def forward(self, images: torch.Tensor) -> Any:
            return self.head(images.flatten(1)), None

    class Flat(nn.Sequential):
        def __init__(self, num_classes: int) -> None:
            super().__init__(nn.Flatten(), nn.Linear(3 * 32 * 32, num_classes - 1))

    module = SimpleNamespace(Auxiliary=Auxiliary, Flat=Flat, dictionary=lambda num_classes: {})
    monkeypatch.setitem(sys.modules, "builders", module)


@pytest.mark.parametrize(("name", "options", "message"), BAD_NETWORKS.values(), ids=BAD_NETWORKS.keys())
@pytest.mark.usefixtures("builders")
def test_what_is_no_classifier_is_refused_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    shape = options.get("input_shape", (3, 32, 32))
    with pytest.raises(InputError, match=f"--model.network {name}: .*{message}") as caught:
        build_network(name, shape, 5, None, {k: v for k, v in options.items() if k != "input_shape"})
    assert "\n" not in str(caught.value)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, torch.Tensor]]:
    """Offer files of weights, by the beginning of their names, instead of downloads."""
    files: dict[str, dict[str, torch.Tensor]] = {}

    def load(url: str, **options: object) -> dict[str, torch.Tensor]:
        assert options["check_hash"]
        return files[Path(url).name.partition("-")[0]]

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    return files


@pytest.mark.parametrize(("name", "head"), [("resnet18", "fc"), ("squeezenet1_1", "classifier.1")])
@torch.no_grad()
def test_pretrained_weights_keep_all_but_the_head(name: str, head: str, downloads: dict[str, Any]) -> None:
    original = getattr(torchvision.models, name)().eval()
    downloads[name] = original.state_dict()
    network = build_network(f"torchvision.models.{name}", (3, 64, 64), 5, "DEFAULT").eval()
    images = torch.randn(2, 3, 64, 64)
    assert network(images).shape == (2, 5)
    network.set_submodule(head, original.get_submodule(head))
    torch.testing.assert_close(network(images), original(images))


@pytest.mark.parametrize("channels", [1, 6])
@torch.no_grad()
def test_pretrained_filters_are_adapted_to_the_channels(channels: int, downloads: dict[str, Any]) -> None:
    original = torchvision.models.squeezenet1_1().eval()
    downloads["squeezenet1_1"] = original.state_dict()
    network = build_network(TINY, (channels, 32, 32), 1000, "IMAGENET1K_V1").eval()
    grey = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(network(grey.repeat(1, channels, 1, 1)), original(grey.repeat(1, 3, 1, 1)))


@torch.no_grad()
def test_pretrained_weights_from_a_local_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", "home")  # nothing is patched here: a file that is there is not downloaded
    original = torchvision.models.squeezenet1_1().eval()
    path = Path("home", "hub", "checkpoints", Path(torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url).name)
    path.parent.mkdir(parents=True)
    torch.save(original.state_dict(), path)
    network = build_network(TINY, (3, 64, 64), 5, "DEFAULT").eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(network.features(images), original.features(images))


def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(InputError, match=r"--model.weights DEFAULT: cannot be loaded: no network: put https:"):
        build_network(TINY, (3, 32, 32), 5, "DEFAULT")
    with pytest.raises(InputError, match=r"--model.weights FOO: no such weights; there are IMAGENET1K_V1, DEFAULT"):
        build_network(TINY, (3, 32, 32), 5, "FOO")


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Stand in for timm, and note the calls of its function."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def create_model(model_name: str, pretrained: bool = False, num_classes: int = 1000, **kwargs: Any) -> nn.Module:
        calls.append((model_name, {"pretrained": pretrained, **kwargs}))
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
        nn.init.constant_(network[0].bias, float(pretrained))
        return network

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    return calls


def test_networks_of_timm(timm: list[tuple[str, dict[str, Any]]]) -> None:
    network = build_network("timm:resnet18", (1, 8, 8), 5, "DEFAULT", {"drop_rate": 0.1})
    assert [name for name, _ in timm] == ["resnet18", "resnet18"]
    assert timm[1][1] == {"pretrained": True, "drop_rate": 0.1}
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 5)
    assert torch.equal(network[0].bias, torch.ones(8))
    with pytest.raises(InputError, match=r"--model.weights FOO: no such weights; there are DEFAULT"):
        build_network("timm:resnet18", (1, 8, 8), 5, "FOO")


def test_without_timm_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"--model.network timm:resnet18: .*: install it with `pip install timm`"):
        build_network("timm:resnet18", (1, 8, 8), 5)


@pytest.mark.slow
def test_a_network_is_trained_from_the_command_line(fit: Callable[..., Outcome]) -> None:
    options = ["--model=NetworkClassifier", "--model.network=torchvision.models.mobilenet_v3_small"]
    options += ["--model.network_args.dropout=0.1", "--model.network_args.width_mult=0.2"]
    f1 = '{"f1": {"class_path": "torchmetrics.classification.MulticlassF1Score", "init_args": {"num_classes": 10}}}'
    outcome = fit(*options, f"--model.metrics={f1}")
    assert outcome.status == 0, outcome.err
    (run,) = Path("runs").glob("*/*")
    assert "val/f1" in (run / "metrics.csv").read_text()
    checkpoint = torch.load(run / "best.ckpt", weights_only=True)
    assert not {"network", "metrics", "optimizer"} & checkpoint["hyper_parameters"].keys()
    named = NetworkClassifier.load_from_checkpoint(
        run / "best.ckpt", network="torchvision.models.mobilenet_v3_small", weights_only=True
    )
    assert named.num_classes == 10
    bad = fit("--model=NetworkClassifier", "--model.network=torchvision.models.vgg11")
    assert bad.status == 2
    assert "fit: --model.network torchvision.models.vgg11: takes no images of 1 by 8 by 8" in bad.err.splitlines()[-1]


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_a_resnet_of_width_64_has_torchvisions_layers(depth: int) -> None:
    with torch.device("meta"):  # shapes without numbers
        ours, theirs = torchvision_resnet(depth), torchvision.models.get_model(f"resnet{depth}")
    assert str(ours).replace("ImageNetResNet", "ResNet") == str(theirs)
