"""Early stopping, and which epoch is the best."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Metrics = dict[str, Tensor]


@dataclass
class Watch:
    """Notes whether a metric gets better.

    Args:
        metric: its name, such as "val/acc" or "val/loss".
        mode: whether the largest or the smallest value is best.
        patience: epochs in a row without a better value, after which training is in vain.
        min_delta: how much better counts as better.
        check_finite: a value that is infinite or not a number makes training vain at once.
    """

    metric: str = "val/acc"
    mode: Literal["max", "min"] = "max"
    patience: float = math.inf
    min_delta: float = 0.0
    check_finite: bool = True

    def __post_init__(self) -> None:
        """Begin with the worst of values."""
        self.best = torch.tensor(-math.inf if self.mode == "max" else math.inf)
        self.waited = 0
        self.in_vain = False

    def improved(self, metrics: Metrics) -> bool:
        """Say whether the epoch is the best so far, and count those that are not."""
        value = metrics[self.metric]
        better = value - self.min_delta > self.best if self.mode == "max" else value + self.min_delta < self.best
        self.best, self.waited = (value, 0) if better else (self.best, self.waited + 1)
        self.in_vain = self.waited >= max(self.patience, 1) or (self.check_finite and not value.isfinite())
        return bool(better)
