"""Image classification: the loss, and the metrics beside it."""

from collections.abc import Sequence
from typing import Any

import torch
from jsonargparse.typing import ClosedUnitInterval, NonNegativeFloat, NonNegativeInt
from torch import Tensor
from torch.nn import functional as F

from lamphouse.data import mean_over_views
from lamphouse.task import Task


class Classifier(Task):
    """A network that classifies images (abstract): a subclass builds `network` from its own options.

    Args:
        input_shape: channels, height and width of an image; linked to the data on the command line.
        num_classes: number of classes; linked to the data on the command line.
        class_weights: weight of each class in the loss, for classes of unequal size; None weighs them equally.
        label_smoothing: share of the target that is spread over all classes, 0..1 (arXiv:1512.00567, section 7).
        test_time_flip: outside training, average the logits of an image and of its mirror image.
        test_time_shift: outside training, average those of an image and, with half its weight, of two moved by so many
            pixels.
        **kwargs: optimizer, schedule, further metrics, memory format and compilation; see `Task`.
    """

    averages = {"acc": lambda logits, labels: logits.argmax(1) == labels}  # noqa: RUF012  # as `Task` declares it

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        class_weights: Sequence[NonNegativeFloat] | None = None,
        label_smoothing: ClosedUnitInterval = 0.0,
        test_time_flip: bool = False,
        test_time_shift: NonNegativeInt = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_shape, self.num_classes, self.class_weights = input_shape, num_classes, class_weights
        self.label_smoothing, self.test_time_flip = label_smoothing, test_time_flip
        self.test_time_shift = test_time_shift
        if test_time_shift and test_time_shift >= min(input_shape[1:]):
            raise ValueError(f"--model.test_time_shift {test_time_shift}: expected less than the side of an image")
        if class_weights is not None and len(class_weights) != num_classes:
            raise ValueError(f"--model.class_weights {class_weights}: expected {num_classes}, one for each class")

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images, float [B, C, H, W], to logits, [B, num_classes]."""
        flip, shift = (False, 0) if self.training else (self.test_time_flip, self.test_time_shift)
        return mean_over_views(super().forward, images, flip, shift)

    def loss(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Compute the mean cross-entropy of images and labels, [B] or as probabilities, and the logits, [B, C]."""
        logits = self(batch[0])
        weights = None if self.class_weights is None else torch.tensor(self.class_weights, device=logits.device)
        return F.cross_entropy(logits, batch[1], weights, label_smoothing=self.label_smoothing), logits

    def targets(self, batch: Sequence[Tensor]) -> Tensor:
        """Return the labels, int64 [B]; of mixed images, those of the larger share."""
        return batch[1].argmax(1) if batch[1].is_floating_point() else batch[1]
