"""Any network of torchvision, timm or another package, by its name."""

from typing import Any

from lamphouse.networks import build_network
from arc_light.classification import Classifier


class NetworkClassifier(Classifier):
    """A network that is named by its import path.

    Args:
        network: import path of a function or class that takes `num_classes`, such as
            torchvision.models.mobilenet_v3_small; or, with timm installed, timm:NAME, such as timm:resnet18.
        weights: name of pretrained weights, such as DEFAULT; the head is replaced by one for the classes of the data.
        network_args: further arguments of the function or class, such as {"dropout": 0.1}.
        **kwargs: see `Classifier`.
    """

    def __init__(
        self,
        network: str,
        weights: str | None = None,
        network_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.remove_ignored_hparams(["network"])  # loading a checkpoint imports nothing that it names
        self.network = build_network(network, self.input_shape, self.num_classes, weights, network_args)
