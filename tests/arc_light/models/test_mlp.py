"""The multilayer perceptron."""

import pytest
import torch
from torch import nn

from arc_light.models.mlp import MLP


def test_the_default_on_mnist_is_784_128_10() -> None:
    layers = [layer for layer in MLP((1, 28, 28), 10) if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(784, 128), (128, 10)]


@pytest.mark.parametrize("hidden_sizes", [(), (7,), (7, 5, 3)])
@pytest.mark.parametrize("input_shape", [(1, 8, 8), (3, 5, 4)])
def test_any_shape_and_depth(hidden_sizes: tuple[int, ...], input_shape: tuple[int, int, int]) -> None:
    network = MLP(input_shape, 4, hidden_sizes)
    assert network(torch.zeros(2, *input_shape)).shape == (2, 4)
    assert sum(isinstance(layer, nn.Linear) for layer in network) == len(hidden_sizes) + 1


@pytest.mark.parametrize(
    ("name", "function"),
    [("relu", torch.relu), ("gelu", nn.functional.gelu), ("silu", nn.functional.silu), ("tanh", torch.tanh)],
)
def test_computes_what_it_says(name: str, function: object) -> None:
    network = MLP((1, 2, 2), 3, (5,), name)  # type: ignore[arg-type]  # any name at all
    first, last = (layer for layer in network if isinstance(layer, nn.Linear))
    images = torch.randn(6, 1, 2, 2)
    hidden = function(images.view(6, 4) @ first.weight.T + first.bias)  # type: ignore[operator]  # of a layer's union of types
    torch.testing.assert_close(network(images), hidden @ last.weight.T + last.bias)


def test_dropout_drops_its_part_in_training_only() -> None:
    network = MLP((1, 1, 1), 1, (10_000,), "tanh", dropout=0.3)
    dropout = next(layer for layer in network if isinstance(layer, nn.Dropout))
    assert (dropout(torch.ones(10_000)) == 0).float().mean() == pytest.approx(0.3, abs=0.03)
    network.eval()
    assert torch.equal(network(torch.ones(1, 1, 1, 1)), network(torch.ones(1, 1, 1, 1)))
