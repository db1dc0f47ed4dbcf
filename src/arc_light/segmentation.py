"""Semantic segmentation: the loss, and the metrics beside it."""

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import Any

from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex

from lamphouse.data import Batch
from lamphouse.task import Task


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Mark the pixels whose largest logit is that of their class: bool [B, H, W]."""
    return logits.argmax(1) == labels


class Segmenter(Task):
    """A network that classifies every pixel (abstract): a subclass builds `network` from its own options.

    Mean IoU and Dice (the F1 score of pixels) are computed over all pixels of each class, then averaged over classes.

    Args:
        input_shape: channels, height and width of an image; linked to the data on the command line.
        num_classes: number of classes, background included; linked to the data on the command line.
        metrics: further torchmetrics metrics by name, of logits, [B, num_classes, H, W], and labels.
        **kwargs: optimizer, schedule, memory format and compilation; see `Task`.
    """

    averages = {"acc": correct}  # noqa: RUF012  # as `Task` declares it

    def __init__(
        self, input_shape: Sequence[int], num_classes: int, metrics: dict[str, Metric] | None = None, **kwargs: Any
    ) -> None:
        iou, dice = MulticlassJaccardIndex(num_classes), MulticlassF1Score(num_classes)
        super().__init__(metrics={"iou": iou, "dice": dice, **(metrics or {})}, **kwargs)
        self.input_shape, self.num_classes = input_shape, num_classes

    def targets(self, batch: Batch) -> Tensor:
        """Return the class of each pixel, int64 [B, H, W], which data may hold in a byte."""
        return batch[1].long()

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the mean cross-entropy of all pixels of images, [B, C, H, W], and logits, [B, num_classes, H, W]."""
        logits = self(batch[0])
        return F.cross_entropy(logits, self.targets(batch)), logits

    def pictures(self, values: Tensor) -> list[Image.Image]:
        """Draw logits, [B, num_classes, H, W], or labels, [B, H, W], as masks whose values are classes."""
        labels = values.argmax(1) if values.ndim == 4 else values
        masks = [Image.fromarray(mask) for mask in labels.byte().cpu().numpy()]
        colors = [hsv_to_rgb(i / self.num_classes, 0.8, float(i > 0)) for i in range(self.num_classes)]
        for mask in masks:
            mask.putpalette([round(255 * value) for color in colors for value in color])
        return masks
