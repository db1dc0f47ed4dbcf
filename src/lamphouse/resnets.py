"""torchvision's residual networks in any width."""

from typing import Any

from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

RESNET_BLOCKS = {18: (BasicBlock, [2, 2, 2, 2]), 34: (BasicBlock, [3, 4, 6, 3]), 50: (Bottleneck, [3, 4, 6, 3])}


class ImageNetResNet(ResNet):  # type: ignore[misc]  # torchvision has no annotations
    """torchvision's ResNet of depth 18, 34 or 50, whose stages begin with `width` channels instead of 64."""

    def __init__(self, depth: int, width: int = 64) -> None:
        self.width = width
        super().__init__(*RESNET_BLOCKS[depth])

    # private: torchvision has no option for the width of all stages
    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> Any:
        if planes == 64:  # the first stage, whose inputs come from the stem
            self.inplanes = self.width
        return super()._make_layer(block, planes * self.width // 64, *args, **kwargs)
