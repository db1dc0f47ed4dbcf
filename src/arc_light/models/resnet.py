"""Residual networks."""

from collections.abc import Sequence
from typing import Any, Literal

from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from lamphouse.networks import load_pretrained, torchvision_resnet
from arc_light.classification import Classifier

Stem = Literal["small", "large"]
Depth = Literal[8, 14, 18, 20, 32, 34, 50, 56]
IMAGENET_DEPTHS = (18, 34, 50)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016, arXiv:1512.03385, figure 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H / stride, W / stride]."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))


class SmallImageResNet(nn.Sequential):
    """The residual network of depth 6n + 2 for small images (arXiv:1512.03385, section 4.2).

    Args:
        in_channels: channels of an image.
        num_classes: width of the head.
        depth: 8, 14, 20, 32 or 56.
        width: channels of the first of three stages; each further one doubles them and halves the resolution.
    """

    def __init__(self, in_channels: int, num_classes: int, depth: int, width: int = 16) -> None:
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
        for stage in range(3):
            for block in range((depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(channels, width << stage, stride))
                channels = width << stage
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def imagenet_resnet(
    in_channels: int,
    num_classes: int,
    depth: int,
    width: int = 64,
    stem: Stem = "large",
    weights: str | None = None,
) -> "models.ResNet":
    """Build torchvision's ResNet-18, -34 or -50 with a stem of its own.

    Args:
        in_channels: channels of an image.
        num_classes: width of the head.
        depth: 18, 34 or 50.
        width: channels of the first of four stages, 64 in the paper (arXiv:1512.03385, table 1).
        stem: "large" is the paper's 7×7 convolution and pooling, "small" one 3×3 convolution at full resolution.
        weights: torchvision's name of pretrained weights, such as "DEFAULT"; all but the head are loaded.

    Raises:
        ValueError: the pretrained weights do not fit the stem, the width or the channels.
    """
    network = torchvision_resnet(depth, width)
    if weights:
        if (stem, width, in_channels) != ("large", 64, 3):
            given = f"stem {stem!r}, width {width} and {in_channels} channel(s)"
            raise ValueError(f"weights {weights!r} need stem 'large', width 64 and 3 channels, not {given}")
        network.load_state_dict(load_pretrained(getattr(models, f"resnet{depth}"), weights).state_dict())
    elif stem == "small":
        network.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    else:
        network.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(width) if width != 64 else network.bn1
    network.fc = nn.Linear(network.inplanes, num_classes)
    return network


def resnet(
    input_shape: Sequence[int],
    num_classes: int,
    depth: Depth = 20,
    width: int | None = None,
    stem: Stem | None = None,
    weights: str | None = None,
) -> nn.Module:
    """Build the residual network of a depth; see `ResNetClassifier` for its arguments.

    Raises:
        ValueError: weights or the large stem were asked for at a depth that has none.
    """
    channels, height, _ = input_shape
    if depth in IMAGENET_DEPTHS:
        stem = stem or ("large" if weights or height >= 64 else "small")
        network: nn.Module = imagenet_resnet(channels, num_classes, depth, width or 64, stem, weights)
        return network
    if weights or stem == "large":
        raise ValueError(f"depth {depth} has no pretrained weights and no large stem: choose a depth of 18, 34 or 50")
    return SmallImageResNet(channels, num_classes, depth, width or 16)


class ResNetClassifier(Classifier):
    """A residual network, for small images at depths 8, 14, 20, 32 and 56, as for ImageNet at 18, 34 and 50.

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
