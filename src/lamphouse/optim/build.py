"""Optimizers and schedules from options, for any LightningModule's `configure_optimizers`."""

from collections.abc import Callable, Iterable
from typing import Any

from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Optimizer

from lamphouse.errors import InputError
from lamphouse.optim.schedules import BY_STEP, ReduceLROnPlateau, RunLengthLR, Schedule


def parameter_groups(module: nn.Module, backbone: Iterable[nn.Parameter] = ()) -> list[dict[str, Any]]:
    """Group trainable parameters; those of biases and norms have no weight decay (He et al. 2019, arXiv:1812.01187).

    Those of a `backbone` are in groups of their own, after the others.
    """
    in_backbone = {id(parameter) for parameter in backbone}
    groups: list[dict[str, Any]] = []
    for chosen in (False, True):
        parameters = [p for p in module.parameters() if p.requires_grad and (id(p) in in_backbone) == chosen]
        groups.append({"params": [p for p in parameters if p.ndim > 1]})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def call_option(option: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call what an option of the model configures; raise an InputError if it rejects its own options."""
    try:
        return function(*args)
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"--model.{option}: {error}; see --help for its options") from error


def optimizer_with_schedule(
    optimizer: Optimizer, schedule: Callable[[Optimizer], Schedule], total_steps: Callable[[], float]
) -> OptimizerLRSchedulerConfig:
    """Build a schedule, and return it with its optimizer in the form that `configure_optimizers` returns.

    `total_steps` returns the optimizer steps of the whole run; it is called only if the schedule depends on them.
    Raises an InputError if the schedule rejects its options, or needs the length of a run without end.
    """
    scheduler = call_option("lr_scheduler", schedule, optimizer)
    if isinstance(scheduler, RunLengthLR):
        steps = total_steps()
        if steps == float("inf"):
            raise InputError("--trainer.max_epochs -1: the schedule needs an end: set --trainer.max_steps, or epochs")
        scheduler.total_steps = int(steps)
    interval = "step" if isinstance(scheduler, BY_STEP) else "epoch"
    monitor = scheduler.monitor if isinstance(scheduler, ReduceLROnPlateau) else "val/loss"
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval, "monitor": monitor}}
