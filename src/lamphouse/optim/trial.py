"""A trial of an optimizer and its schedule before the run, in which they would refuse their options later."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lamphouse.errors import InputError
from lamphouse.optim.built import built
from lamphouse.optim.schedules import ReduceLROnPlateau


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
