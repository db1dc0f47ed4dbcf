"""Learning-rate schedules that are stepped after every optimizer step and know the length of the run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

from jsonargparse.typing import ClosedUnitInterval as Fraction
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

Curve = Callable[[float, float, float], float]  # of start, end and progress, 0..1


def linear(start: float, end: float, progress: float) -> float:
    """Interpolate along a straight line."""
    return start + (end - start) * progress


def cosine(start: float, end: float, progress: float) -> float:
    """Interpolate along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


class RunLengthLR(lr_scheduler.LRScheduler, ABC):
    """Warm up to the optimizer's own `lr`, then decay to the end of the run (abstract).

    `total_steps` is not part of the state: a run resumed with more epochs gets the same curve, stretched.

    Args:
        optimizer: its `lr` is the highest rate.
        warmup: fraction of the run that warms up, 0..1.
        initial: first rate as a fraction of the highest, 0..1.
        final: last rate as a fraction of the highest, 0..1.
    """

    total_steps = 1

    def __init__(
        self, optimizer: Optimizer, warmup: Fraction = 0.05, initial: Fraction = 0.01, final: Fraction = 0.0
    ) -> None:
        # a checkpoint holds plain floats, not the option parser's types
        self.warmup, self.initial, self.final = float(warmup), float(initial), float(final)
        super().__init__(optimizer)

    @property
    @abstractmethod
    def curves(self) -> tuple[Curve, Curve]:
        """The curves of the warm-up and of the decay."""

    def get_lr(self) -> list[float | Tensor]:
        rise, fall = self.curves
        progress = min(self.last_epoch / self.total_steps, 1.0)  # 0 at the first step, 1 after the last
        if progress < self.warmup:
            factor = rise(self.initial, 1.0, progress / self.warmup)
        else:
            factor = fall(1.0, self.final, (progress - self.warmup) / max(1.0 - self.warmup, 1e-12))
        return [lr * factor for lr in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().state_dict().items() if key != "total_steps"}


class WarmupCosineLR(RunLengthLR):
    """Linear warm-up, then cosine decay (Loshchilov & Hutter 2017, arXiv:1608.03983); see `RunLengthLR`."""

    curves = (linear, cosine)


class WarmupLinearLR(RunLengthLR):
    """Linear warm-up, then linear decay; see `RunLengthLR`."""

    curves = (linear, linear)


class OneCycle(RunLengthLR):
    """Cosine warm-up and decay at constant momentum (Smith & Topin 2019, arXiv:1708.07120); see `RunLengthLR`."""

    curves = (cosine, cosine)

    # with the defaults of torch's OneCycleLR
    def __init__(self, optimizer: Optimizer, warmup: Fraction = 0.3, initial: Fraction = 0.04, **kwargs: Any) -> None:
        super().__init__(optimizer, warmup, initial, **kwargs)


class ReduceLROnPlateau(lr_scheduler.ReduceLROnPlateau):
    """torch's schedule of that name, with the metric to monitor; a value that was not measured again is no step.

    Args:
        optimizer: its `lr` is the first rate.
        monitor: name of the metric.
        mode: "min" or "max"; None is "max" for an accuracy, and for others what a `Task` knows of them, or else "min".
        **kwargs: torch's own options.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] | None = None,
        **kwargs: Any,
    ) -> None:
        by_name: Literal["min", "max"] = "max" if monitor.endswith(("acc", "accuracy")) else "min"
        super().__init__(optimizer, mode or by_name, **kwargs)
        self.monitor, self.given_mode = monitor, mode
        self._measured: Any = None  # with which it was stepped

    def set_mode(self, mode: Literal["min", "max"]) -> None:
        """Set which value is the best, before the first step."""
        self.mode = mode
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        if isinstance(metrics, Tensor):
            if self._measured is not None and metrics.is_set_to(self._measured):
                return
            self._measured = metrics
        super().step(metrics, epoch)

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().state_dict().items() if key not in {"_measured", "given_mode"}}


# torch's schedules one by one, since several subclasses of LRScheduler are called ReduceLROnPlateau
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
BY_STEP = RunLengthLR | lr_scheduler.CyclicLR | lr_scheduler.OneCycleLR  # the others are stepped once an epoch
