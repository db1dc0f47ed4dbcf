"""The classifier of a multilayer perceptron."""

from collections.abc import Sequence
from typing import Any

from jsonargparse.typing import ClosedUnitInterval, PositiveInt

from arc_light.models.classifier import Classifier
from arc_light.networks import MLP, Activation


class MLPClassifier(Classifier):
    """A multilayer perceptron; by default one hidden layer of 128, which on MNIST makes 784-128-10.

    Args:
        hidden_sizes: width of each hidden layer.
        activation: what follows each hidden layer.
        dropout: probability of dropping a hidden value, 0..1.
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
