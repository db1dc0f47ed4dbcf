"""The operation that makes finite numbers infinite or NaN is found; `configs/debug/anomaly.yaml` names it."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from conftest import CONFIGS, Outcome
from lightning.pytorch import Trainer
from stock import QUIET, UnstableModel
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from lamphouse.callbacks import find_operation
from arc_light.models.mlp import MLPClassifier

Command = Callable[..., Outcome]
ANOMALY = ["-c", str(CONFIGS / "debug" / "anomaly.yaml")]
LOOPS = [[], pytest.param(["--loop=handwritten"], marks=pytest.mark.slow)]


class Logarithm(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.log()  # of negative numbers, too


class InLayer(MLPClassifier):
    """Its first layer takes a logarithm."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # options of any type
        self.network = nn.Sequential(Logarithm(), self.network)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            f"{__name__}.InLayer",
            ["the loss is nan", "the first nan came from log in network.0 (Logarithm), test_"],
        ),
        ("unstable.NanLoss", ["the loss is nan", "the first nan came from mul, unstable.py:"]),
        (
            "unstable.NanGradient",
            ["a gradient is nan", "SqrtBackward0 of sqrt, unstable.py:", "'PowBackward0'"],
        ),
        ("unstable.InfiniteGradient", [".bias is inf", "the first infinite gradient came from SqrtBackward0"]),
    ],
)
def test_the_operation_is_named(fit: Command, loop: list[str], model: str, words: list[str]) -> None:
    outcome = fit(*ANOMALY, *loop, f"--model={model}", "--trainer.limit_train_batches=1.0")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert all(word in outcome.err for word in words)
    assert "anomaly.yaml" not in outcome.err
    assert not hooks._global_forward_hooks
    assert not torch.is_anomaly_enabled()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_training_without_any_is_the_same(fit: Command, loop: list[str]) -> None:
    outcomes = [fit(*more, *loop) for more in ([], ANOMALY)]
    assert outcomes[1].err == ""
    lines = [[line.split()[:8] for line in done.out.splitlines() if "loss" in line] for done in outcomes]
    assert lines[0] == lines[1]


def test_it_is_found_in_a_stock_trainer() -> None:
    model = UnstableModel()
    with find_operation(model) as finder, suppress(RuntimeError):
        Trainer(**QUIET).fit(model)
    assert str(finder).startswith("the first nan came from mul, stock.py:")


def found(network: nn.Module, images: Tensor) -> str:
    with find_operation(network) as finder, suppress(RuntimeError):  # torch's own, of a nan
        network(images).sum().backward()
    return str(finder)


def test_the_batch_itself() -> None:
    assert found(nn.Linear(2, 2), torch.tensor([[1.0, torch.nan]])).startswith("the first nan came from the batch")


def test_a_weight() -> None:
    linear = nn.Linear(2, 2)
    linear.bias.data[1] = torch.inf
    assert found(linear, torch.ones(1, 2)).startswith("the first infinity came from the weight bias")


class Masked(nn.Linear):
    def forward(self, images: Tensor) -> Tensor:
        masked = super().forward(images).masked_fill(torch.tensor([True, False]), -torch.inf)
        return torch.sqrt(masked.softmax(1) - 5)


def test_an_infinity_that_is_meant_does_not_hide_a_nan() -> None:
    names = found(Masked(2, 2), torch.ones(1, 2))
    assert "the first infinity came from masked_fill in the model (Masked), test_anomaly.py:" in names
    assert "the first nan came from sqrt in the model (Masked), test_anomaly.py:" in names


def test_a_compiled_network_is_looked_into() -> None:
    network = nn.Sequential(nn.Linear(2, 2), Logarithm())
    network.compile()
    network[0].bias.data.fill_(-9)
    assert "log in 1 (Logarithm)" in found(network, torch.ones(1, 2))


def test_nothing() -> None:
    assert found(nn.Linear(2, 2), torch.ones(1, 2)) == "no operation made it out of finite numbers"
