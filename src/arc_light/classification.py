"""Image classification: the loss, and the metrics beside it."""

from collections.abc import Sequence
from typing import Any

import torch
from jsonargparse.typing import ClosedUnitInterval
from torch import Tensor
from torch.nn import functional as F

from lamphouse.task import Task

Batch = tuple[Tensor, Tensor]  # images, float [B, C, H, W]; labels, int64 [B]


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Mark the images whose largest logit is that of their class: bool [B]."""
    return logits.argmax(1) == labels


class Classifier(Task):
    """A network that classifies images (abstract): a subclass builds `network` from its own options.

    Args:
        input_shape: channels, height and width of an image; linked to the data on the command line.
        num_classes: number of classes; linked to the data on the command line.
        label_smoothing: share of the target that is spread over all classes, 0..1 (arXiv:1512.00567, section 7).
        test_time_flip: outside training, average the logits of an image and of its mirror image.
        **kwargs: optimizer, schedule, further metrics, memory format and compilation; see `Task`.
    """

    averages = {"acc": correct}  # noqa: RUF012  # as `Task` declares it

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        label_smoothing: ClosedUnitInterval = 0.0,
        test_time_flip: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_shape, self.num_classes = input_shape, num_classes
        self.label_smoothing, self.test_time_flip = label_smoothing, test_time_flip

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images, float [B, C, H, W], to logits, [B, num_classes]."""
        flip = self.test_time_flip and not self.training
        if flip:
            images = torch.cat([images, images.flip(-1)])
        logits: Tensor = super().forward(images)
        return logits.unflatten(0, (2, -1)).mean(0) if flip else logits

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the mean cross-entropy of a batch, and its logits, [B, num_classes]."""
        images, labels = batch[:2]
        logits = self(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing), logits
