"""A first layer that decorrelates, set by the first images it sees."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WhiteningConv2d(nn.Module):
    """A convolution whose outputs are uncorrelated and of variance 1, each with its negative.

    After Jordan 2024, arXiv:2404.00498, section 3.2. Its filters are the eigenvectors of the covariance of the images'
    patches, divided by the roots of their eigenvalues. They are measured on the first training batch and never trained;
    its bias is.

    Args:
        in_channels: channels of an image.
        kernel_size: side of a patch in pixels.
        eps: is added to eigenvalues, so that what hardly varies is not blown up.
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
            if not self.weight.any():  # as a checkpoint's are not
                self.weight.copy_(whitening_filters(images, self.weight.shape[-1], self.eps))
            self._measured = True
        return F.conv2d(images, self.weight, self.bias)


@torch.no_grad()
def whitening_filters(images: Tensor, kernel_size: int, eps: float) -> Tensor:
    """Compute the filters for images, [B, C, H, W]: [2·C·kernel², C, kernel, kernel], the largest eigenvalue first."""
    with torch.autocast(images.device.type, enabled=False):
        channels = images.shape[1]
        patches = F.unfold(images.float(), kernel_size).transpose(1, 2).flatten(0, 1)
        values, vectors = torch.linalg.eigh(patches.T.cov())  # ascending; vectors in columns
        filters = (vectors / (values + eps).sqrt()).T.flip(0).view(-1, channels, kernel_size, kernel_size)
        return torch.cat([filters, -filters])
