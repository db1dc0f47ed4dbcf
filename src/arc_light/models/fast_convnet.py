"""A shallow convolutional network for short runs."""

from collections.abc import Sequence
from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from arc_light.classification import Classifier


class WhiteningConv2d(nn.Module):
    """A convolution with uncorrelated outputs of variance 1, each beside its negative.

    After Jordan 2024, arXiv:2404.00498, section 3.2. The filters are the eigenvectors of the covariance of image
    patches, divided by the square roots of their eigenvalues. They are computed from the first training batch and stay
    fixed; the bias is trained.

    Args:
        in_channels: channels of an image.
        kernel_size: side of a patch in pixels.
        eps: added to the eigenvalues, so that directions with hardly any variance are not amplified.
    """

    weight: Tensor

    def __init__(self, in_channels: int, kernel_size: int = 2, eps: float = 5e-4) -> None:
        super().__init__()
        self.out_channels = 2 * in_channels * kernel_size**2
        self.register_buffer("weight", torch.zeros(self.out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(self.out_channels))
        self.eps, self._measured = eps, False

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, 2·C·kernel², H - kernel + 1, W - kernel + 1]."""
        if self.training and not self._measured:
            if not self.weight.any():  # not loaded from a checkpoint
                self.weight.copy_(whitening_filters(images, self.weight.shape[-1], self.eps))
            self._measured = True
        return F.conv2d(images, self.weight, self.bias)


@torch.no_grad()
def whitening_filters(images: Tensor, kernel_size: int, eps: float) -> Tensor:
    """Compute the filters for images, [B, C, H, W]: [2·C·kernel², C, kernel, kernel], largest eigenvalue first."""
    with torch.autocast(images.device.type, enabled=False):
        channels = images.shape[1]
        patches = F.unfold(images.float(), kernel_size).transpose(1, 2).flatten(0, 1)
        values, vectors = torch.linalg.eigh(patches.T.cov())  # ascending; vectors in columns
        filters = (vectors / (values + eps).sqrt()).T.flip(0).view(-1, channels, kernel_size, kernel_size)
        return torch.cat([filters, -filters])


class FastConvNet(nn.Sequential):
    """A whitening layer and stages of two convolutions (Jordan 2024, arXiv:2404.00498, section 3).

    Args:
        input_shape: channels, height and width of an image.
        num_classes: width of the head.
        widths: channels of each stage; each halves the resolution.

    Raises:
        ValueError: there are too many stages for images of this size.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int, widths: Sequence[int] = (64, 256, 256)) -> None:
        in_channels, height, width = input_shape
        if min(height, width) - 1 < 2 ** len(widths):  # the whitening layer removes a pixel
            size = f"images of {height} by {width}"
            raise ValueError(f"widths {list(widths)}: too many stages for {size}: remove one")
        whitening = WhiteningConv2d(in_channels)
        layers: list[nn.Module] = [whitening, nn.GELU()]
        channels = whitening.out_channels
        for stage_width in widths:
            layers.append(Stage(channels, stage_width))
            channels = stage_width
        super().__init__(*layers, Head(channels, num_classes))


class Stage(nn.Sequential):
    """A convolution and pooling that halves the resolution, then another convolution.

    Maps [B, in_channels, H, W] to [B, out_channels, H / 2, W / 2].
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        first, second = conv(in_channels, out_channels), conv(out_channels, out_channels)
        norms = norm(out_channels), norm(out_channels)
        super().__init__(first, nn.MaxPool2d(2), norms[0], nn.GELU(), second, norms[1], nn.GELU())


class Head(nn.Linear):
    """Global max pooling and a linear layer, with logits scaled by 1/9 (Jordan 2024, arXiv:2404.00498)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_features, H, W] to logits, [B, out_features]."""
        logits: Tensor = super().forward(x.amax((2, 3)))
        return logits / 9


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Make a 3×3 convolution that is initialized as the identity on its first channels."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[: min(in_channels, out_channels)])
    return layer


def norm(channels: int) -> nn.BatchNorm2d:
    """Make a batch norm without scale, whose running statistics adapt within a short run."""
    layer = nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad = False
    return layer


class FastConvNetClassifier(Classifier):
    """A shallow convolutional network after a whitening layer, for small images and few epochs.

    Args:
        widths: channels of each stage; each halves the resolution.
        **kwargs: see `Classifier`.
    """

    def __init__(self, widths: Sequence[PositiveInt] = (64, 256, 256), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = FastConvNet(self.input_shape, self.num_classes, widths)
