"""A shallow residual network that reaches its accuracy in few epochs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arc_light.networks.whitening import WhiteningConv2d


class FastResNet(nn.Sequential):
    """A whitening layer and three stages of two convolutions (Jordan 2024, arXiv:2404.00498, section 3).

    The second of each two has a shortcut, which is not from there.

    Args:
        input_shape: channels, height and width of an image.
        num_classes: width of the head.
        widths: channels of each stage; each halves the resolution.

    Raises:
        ValueError: there are too many stages for images of this size.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int, widths: Sequence[int] = (64, 256, 256)) -> None:
        in_channels, height, width = input_shape
        if min(height, width) - 1 < 2 ** len(widths):  # the whitening layer takes a pixel of each side
            size = f"images of {height} by {width}"
            raise ValueError(f"widths {list(widths)}: too many stages for {size}: leave one out")
        whitening = WhiteningConv2d(in_channels)
        layers: list[nn.Module] = [whitening, nn.GELU()]
        channels = whitening.out_channels
        for stage_width in widths:
            layers.append(Stage(channels, stage_width))
            channels = stage_width
        super().__init__(*layers, Head(channels, num_classes))


class Stage(nn.Module):
    """A convolution that halves the resolution by pooling, and another beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(conv(in_channels, out_channels), nn.MaxPool2d(2), norm(out_channels), nn.GELU())
        self.refine = nn.Sequential(conv(out_channels, out_channels), norm(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H / 2, W / 2]."""
        x = self.reduce(x)
        return F.gelu(x + self.refine(x))


class Head(nn.Linear):
    """Linear in the largest value of each channel, a ninth of that its logits (Jordan 2024, arXiv:2404.00498)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_features, H, W] to logits, [B, out_features]."""
        logits: Tensor = super().forward(x.amax((2, 3)))
        return logits / 9


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Make a 3×3 convolution that hands its first inputs on at the start."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[: min(in_channels, out_channels)])
    return layer


def norm(channels: int) -> nn.BatchNorm2d:
    """Make a batch norm that shifts only, with statistics that keep up with a short run."""
    layer = nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad = False
    return layer
