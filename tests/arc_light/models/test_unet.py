"""The U-Net."""

import pytest
import torch

from lamphouse.errors import InputError
from arc_light.models.unet import UNet, UNetSegmenter


def test_a_pixel_depends_on_others_at_every_scale() -> None:
    network = UNet(1, 5, width=8, levels=3).eval()
    images = torch.randn(1, 1, 64, 64, requires_grad=True)
    network(images)[0, :, 32, 32].sum().backward()
    reach = images.grad[0, 0].nonzero()
    assert (reach.max(0).values - reach.min(0).values > 40).all()


def test_sides_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(InputError, match="28 by 28 cannot be halved 3 times"):
        UNetSegmenter(input_shape=(1, 28, 28), num_classes=10)
