"""A multilayer perceptron for images."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, Literal

from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from torch import Tensor, nn

from arc_light.classification import Classifier

Activation = Literal["relu", "gelu", "silu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class MLP(nn.Sequential):
    """Flatten, then (linear, activation, dropout) for each hidden size, then a linear head.

    Args:
        input_shape: channels, height and width of an image.
        num_classes: width of the head.
        hidden_sizes: width of each hidden layer; an empty list makes a linear classifier.
        activation: activation function after each hidden layer.
        dropout: dropout probability after each activation, 0..1.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        hidden_sizes: Sequence[int] = (128,),
        activation: Activation = "relu",
        dropout: float = 0.0,
    ) -> None:
        sizes = [prod(input_shape), *hidden_sizes]
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in pairwise(sizes):
            drop = nn.Dropout(dropout) if dropout else nn.Identity()
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation](), drop]
        super().__init__(*layers, nn.Linear(sizes[-1], num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Map images, float [B, C, H, W], to logits, [B, num_classes]."""
        for layer in self:
            images = layer(images)
        return images


class MLPClassifier(Classifier):
    """A multilayer perceptron; by default one hidden layer of 128, which on MNIST makes 784-128-10.

    Args:
        hidden_sizes: width of each hidden layer.
        activation: activation function after each hidden layer.
        dropout: dropout probability after each activation, 0..1.
        **kwargs: see `Classifier`.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[PositiveInt] = (128,),
        activation: Activation = "relu",
        dropout: ClosedUnitInterval = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = MLP(self.input_shape, self.num_classes, hidden_sizes, activation, dropout)
