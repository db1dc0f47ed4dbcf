"""The multilayer perceptron."""

import pytest
import torch
from torch import nn

from arc_light.models.mlp import ACTIVATIONS, MLP


@pytest.mark.parametrize("hidden_sizes", [(), (7,), (7, 5, 3)])
def test_layers(hidden_sizes: tuple[int, ...]) -> None:
    network = MLP((3, 5, 4), 4, hidden_sizes)
    sizes = [layer.out_features for layer in network if isinstance(layer, nn.Linear)]
    assert sizes == [*hidden_sizes, 4]
    assert network(torch.zeros(2, 3, 5, 4)).shape == (2, 4)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_activation_follows_the_hidden_layer(name: str) -> None:
    network = MLP((1, 2, 2), 3, (5,), name)  # type: ignore[arg-type]  # any of the names
    images = torch.randn(6, 1, 2, 2)
    torch.testing.assert_close(network(images), network[4](ACTIVATIONS[name]()(network[1](images.flatten(1)))))
