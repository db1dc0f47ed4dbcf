"""Which epoch was the best, and when to stop early: what the hand-written loop decides after each epoch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass
class Monitor:
    """Follows a metric from epoch to epoch, to keep the best weights or to stop early."""

    metric: str = "val/loss"
    mode: Literal["min", "max"] = "min"  # whether smaller or larger values are better
    min_delta: float = 0.0  # smallest change that counts as an improvement
    patience: float = math.inf  # epochs without improvement after which training stops
    check_finite: bool = False  # stop at a value that is infinite or not a number

    def __post_init__(self) -> None:
        """Start from the worst value."""
        self.sign = 1 if self.mode == "max" else -1
        self.best, self.waited, self.stop = torch.tensor(-math.inf) * self.sign, 0, False
        self.loss = torch.tensor(math.inf)  # of the best epoch

    def improved(self, metrics: Mapping[str, Tensor]) -> bool:
        """Return whether this epoch is the best so far."""
        value = metrics[self.metric]
        better = self.sign * (value - self.sign * self.min_delta) > self.sign * self.best
        self.best, self.waited = (value, 0) if better else (self.best, self.waited + 1)
        self.stop = self.waited >= max(self.patience, 1) or (self.check_finite and not value.isfinite())
        return bool(better)

    def improved_or_tied(self, metrics: Mapping[str, Tensor]) -> bool:
        """Return whether this epoch is the best so far; of equal ones, the one with the lowest loss is."""
        loss, tied = metrics[f"{self.metric.partition('/')[0]}/loss"], metrics[self.metric] == self.best
        better = self.improved(metrics) or bool(tied and loss < self.loss)
        self.loss = loss if better else self.loss
        return better
