"""Models whose numbers go wrong, to be trained by `--model unstable.NAME`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from arc_light.models.mlp import MLPClassifier

BAD_BATCH = 5  # of the training, counted from 0


class Unstable(MLPClassifier):
    """Counts its training batches."""

    def __init__(self, bad_batch: int = BAD_BATCH, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bad_batch, self.batches = bad_batch, 0

    def loss(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        loss, logits = super().loss(batch)
        if torch.is_grad_enabled():
            self.batches += 1
            if self.batches == self.bad_batch + 1:
                loss = self.broken(loss)
        return loss, logits

    def broken(self, loss: Tensor) -> Tensor:
        return loss * torch.nan


class NanLoss(Unstable):
    """Its loss is not a number."""


class SteepLoss(Unstable):
    """Its gradients are large, and finite."""

    def broken(self, loss: Tensor) -> Tensor:
        return loss * 1e6


class InfiniteLoss(Unstable):
    """Its loss is infinite."""

    def broken(self, loss: Tensor) -> Tensor:
        return loss / 0


class NanGradient(Unstable):
    """The gradient of its last weight is not a number, though its loss is one: d√x/dx at 0 is infinite."""

    def broken(self, loss: Tensor) -> Tensor:
        weight = list(self.parameters())[-2]
        return loss + (0 * weight).square().sum(1).sqrt().sum()


class InfiniteGradient(Unstable):
    """The gradient of its last bias is infinite, though its loss is not."""

    def broken(self, loss: Tensor) -> Tensor:
        bias = list(self.parameters())[-1]
        return loss + (bias - bias.detach()).sqrt().sum()
