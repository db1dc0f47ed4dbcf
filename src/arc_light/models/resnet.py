"""The classifier of a residual network."""

from typing import Any

from jsonargparse.typing import PositiveInt

from arc_light.models.classifier import Classifier
from arc_light.networks import Depth, Stem, resnet


class ResNetClassifier(Classifier):
    """A residual network: CIFAR-style at depths 8, 14, 20, 32 and 56, ImageNet-style at 18, 34 and 50.

    Args:
        depth: number of layers with weights.
        width: channels of the first stage; None is the paper's own, 16 or 64.
        stem: at 18, 34 and 50: "small" for small images, "large" for ImageNet's; None decides by the image's size.
        weights: at 18, 34 and 50: torchvision's name of pretrained weights, such as DEFAULT.
        **kwargs: see `Classifier`.
    """

    def __init__(
        self,
        depth: Depth = 20,
        width: PositiveInt | None = None,
        stem: Stem | None = None,
        weights: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = resnet(self.input_shape, self.num_classes, depth, width, stem, weights)
