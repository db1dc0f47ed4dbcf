"""Optimizers and schedules from options."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Optimizer

from lamphouse.errors import InputError
from lamphouse.optim.schedules import BY_STEP, ReduceLROnPlateau, RunLengthLR, Schedule


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Split the trainable parameters so that one-dimensional ones (biases, norms) have no weight decay.

    Decaying them costs accuracy (He et al. 2019, arXiv:1812.01187, section 3.1).
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    decayed = {"params": [p for p in parameters if p.ndim > 1]}
    others = {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}
    return [group for group in (decayed, others) if group["params"]]


def built(option: str, build: Callable[..., Any], *args: Any) -> Any:
    """Call what was configured by an option of the model.

    Raises:
        InputError: it refuses its own options.
    """
    try:
        return build(*args)
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"--model.{option}: {error}; see --help for its options") from error


def scheduled(
    optimizer: Optimizer, build: Callable[[Optimizer], Schedule], steps: Callable[[], float]
) -> OptimizerLRSchedulerConfig:
    """Build a schedule for an optimizer, and tell Lightning what it goes by.

    Args:
        optimizer: what it is for.
        build: makes it.
        steps: counts those of the whole run; asked only where the schedule depends on it.

    Raises:
        InputError: it refuses its options, or needs an end where the run has none.
    """
    scheduler = built("lr_scheduler", build, optimizer)
    if isinstance(scheduler, RunLengthLR):
        scheduler.total_steps = _finite(steps())
    interval = "step" if isinstance(scheduler, BY_STEP) else "epoch"
    monitor = scheduler.monitor if isinstance(scheduler, ReduceLROnPlateau) else "val/loss"
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": scheduler, "interval": interval, "monitor": monitor},
    }


def _finite(steps: float) -> int:
    if steps == float("inf"):
        raise InputError("--trainer.max_epochs -1: the schedule needs an end: set --trainer.max_steps, or epochs")
    return int(steps)


def try_out(optimizer: Callable[..., Any], configure: Callable[..., Any], device: torch.device | str) -> None:
    """Take a step with an optimizer, on a parameter of no use, and with a schedule, which changes nothing.

    Args:
        optimizer: builds it from parameter groups.
        configure: builds it for the model, with its schedule, for a run of `total_steps`.
        device: where the model will be.

    Raises:
        InputError: one of them refuses its options.
    """
    parameter = nn.Parameter(torch.zeros(2, 2, device=device))
    parameter.grad = torch.ones_like(parameter)
    built("optimizer", built("optimizer", optimizer, [{"params": [parameter]}]).step)
    configured = configure(total_steps=1)
    if not isinstance(configured, dict):
        return
    scheduler = configured["lr_scheduler"]["scheduler"]
    configured["optimizer"].step()  # without gradients, so that nothing changes
    measured = [0.0] if isinstance(scheduler, ReduceLROnPlateau) else []
    built("lr_scheduler", scheduler.step, *measured)
    lr = min(float(group["lr"]) for group in configured["optimizer"].param_groups)
    if not 0 <= lr < float("inf"):
        raise InputError(f"--model.lr_scheduler: it leads to a learning rate of {lr}; see --help for its options")
