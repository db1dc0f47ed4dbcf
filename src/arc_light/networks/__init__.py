"""Networks in plain torch: they know nothing of Lightning, of data or of losses."""

from arc_light.networks.fast_resnet import FastResNet
from arc_light.networks.mlp import MLP, Activation
from arc_light.networks.resnet import Depth, ImageNetResNet, SmallImageResNet, Stem, resnet

__all__ = ["MLP", "Activation", "Depth", "FastResNet", "ImageNetResNet", "SmallImageResNet", "Stem", "resnet"]
