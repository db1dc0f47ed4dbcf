"""Learning-rate schedules that know the run's length and go by step."""

import math
from abc import abstractmethod
from typing import Any

from jsonargparse.typing import ClosedUnitInterval
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler


def cosine(start: float, end: float, progress: float) -> float:
    """Go from `start` to `end` along half a cosine as `progress` goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


class RunLengthLR(LRScheduler):
    """Up to the optimizer's own `lr`, then down to the end of the run, along a cosine unless `fall` differs (abstract).

    `total_steps` belongs to the run, not to the schedule's state: a run that is resumed with more epochs
    gets the same curve stretched over its new length.
    """

    total_steps = 1

    def __init__(self, optimizer: Optimizer, warmup: float, initial: float, final: float) -> None:
        # plain floats: a checkpoint holds no types of the option parser's
        self.warmup, self.initial, self.final = float(warmup), float(initial), float(final)
        super().__init__(optimizer)

    @abstractmethod
    def rise(self, progress: float) -> float:
        """Say the factor during the warm-up, from `initial` at 0 to 1 at 1."""

    def factor(self, progress: float) -> float:
        """Say the factor on `lr` at `progress`, 0 at the first step and 1 after the last."""
        if progress < self.warmup:
            return self.rise(progress / self.warmup)
        return self.fall((progress - self.warmup) / max(1.0 - self.warmup, 1e-12))

    def fall(self, progress: float) -> float:
        """Say the factor after the warm-up, from 1 at 0 to `final` at 1."""
        return cosine(1.0, self.final, progress)

    def get_lr(self) -> list[float | Tensor]:
        """Compute the learning rate of every parameter group for the coming step."""
        factor = self.factor(min(self.last_epoch / self.total_steps, 1.0))
        return [lr * factor for lr in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the run, without its length."""
        return {key: value for key, value in super().state_dict().items() if key != "total_steps"}


class WarmupLR(RunLengthLR):
    """Linear warm-up, then down (abstract): a subclass says along which curve.

    Args:
        optimizer: its `lr` is the highest rate.
        warmup: part of the run that warms up, 0..1.
        initial: first rate as a part of the highest, 0..1.
        final: last rate as a part of the highest, 0..1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: ClosedUnitInterval = 0.05,
        initial: ClosedUnitInterval = 0.01,
        final: ClosedUnitInterval = 0.0,
    ) -> None:
        super().__init__(optimizer, warmup, initial, final)

    def rise(self, progress: float) -> float:
        """Rise linearly."""
        return self.initial + (1.0 - self.initial) * progress


class WarmupCosineLR(WarmupLR):
    """Linear warm-up, then a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983); see `WarmupLR` for its options."""


class WarmupLinearLR(WarmupLR):
    """Linear warm-up, then a straight line; see `WarmupLR` for its options."""

    def fall(self, progress: float) -> float:
        """Fall linearly."""
        return 1.0 + (self.final - 1.0) * progress


class OneCycle(RunLengthLR):
    """Up along a cosine, then down along another (Smith & Topin 2019, arXiv:1708.07120), at constant momentum.

    Args:
        optimizer: its `lr` is the highest rate.
        warmup: part of the run that goes up, 0..1.
        initial: first rate as a part of the highest, 0..1.
        final: last rate as a part of the highest, 0..1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: ClosedUnitInterval = 0.3,
        initial: ClosedUnitInterval = 0.04,
        final: ClosedUnitInterval = 0.0,
    ) -> None:
        super().__init__(optimizer, warmup, initial, final)

    def rise(self, progress: float) -> float:
        """Rise along half a cosine."""
        return cosine(self.initial, 1.0, progress)


class ReduceLROnPlateau(lr_scheduler.ReduceLROnPlateau):
    """torch's schedule, which lowers the rate when a metric stops getting better.

    Args:
        optimizer: its `lr` is the first rate.
        monitor: the metric; with an accuracy, `mode` should be "max".
        **kwargs: torch's own options.
    """

    def __init__(self, optimizer: Optimizer, monitor: str = "val/loss", **kwargs: Any) -> None:
        super().__init__(optimizer, **kwargs)
        self.monitor = monitor


# torch's schedules by name, for LRScheduler itself has several subclasses called ReduceLROnPlateau
Schedule = (
    RunLengthLR
    | ReduceLROnPlateau
    | lr_scheduler.ConstantLR
    | lr_scheduler.CosineAnnealingLR
    | lr_scheduler.CosineAnnealingWarmRestarts
    | lr_scheduler.CyclicLR
    | lr_scheduler.ExponentialLR
    | lr_scheduler.LinearLR
    | lr_scheduler.MultiStepLR
    | lr_scheduler.OneCycleLR
    | lr_scheduler.PolynomialLR
    | lr_scheduler.StepLR
)
BY_STEP = RunLengthLR | lr_scheduler.CyclicLR | lr_scheduler.OneCycleLR  # the others go by epoch
