"""The classifier of a residual network for short runs."""

from collections.abc import Sequence
from typing import Any

from jsonargparse.typing import PositiveInt

from arc_light.models.classifier import Classifier
from arc_light.networks import FastResNet


class FastResNetClassifier(Classifier):
    """A shallow residual network behind a whitening layer, for small images and few epochs.

    Args:
        widths: channels of each stage; each halves the resolution.
        **kwargs: see `Classifier`.
    """

    def __init__(self, widths: Sequence[PositiveInt] = (64, 256, 256), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = FastResNet(self.input_shape, self.num_classes, widths)
