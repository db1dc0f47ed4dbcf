"""What a process has beside weights and optimizers: random numbers and counts, in types that a checkpoint may hold."""

import random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torchmetrics import Metric


def process_state(module: nn.Module) -> dict[str, Any]:
    """Note where all generators of random numbers are, and what the module's metrics have counted."""
    return {"random": random_state(), "metrics": metric_states(module)}


def set_process_state(module: nn.Module, state: dict[str, Any]) -> None:
    """Go on from there."""
    set_metric_states(module, state["metrics"])
    set_random_state(state["random"])


def random_state() -> dict[str, Any]:
    """Note where the generators of Python, NumPy, torch and the accelerator are."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  # the one that libraries draw from
    state = {
        "python": random.getstate(),
        "numpy": (name, torch.tensor(keys, dtype=torch.int64), *rest),
        "torch": torch.get_rng_state(),
    }
    device = torch.accelerator.current_accelerator(check_available=True)
    return state if device is None else state | {"device": torch.get_device_module(device).get_rng_state()}


def set_random_state(state: dict[str, Any]) -> None:
    """Put the generators where they were; the accelerator's only where there is one, then and now."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype("uint32"), *rest))  # noqa: NPY002  # as above
    torch.set_rng_state(state["torch"])
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is not None and "device" in state:
        torch.get_device_module(device).set_rng_state(state["device"])


def of_all_processes(value: Any) -> list[Any]:
    """Collect each process's value in all of them, in the order of their ranks."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def metric_states(module: nn.Module) -> dict[str, Any]:
    """Copy what the metrics have counted so far."""
    metrics = {name: part for name, part in module.named_modules() if isinstance(part, Metric)}
    return {name: {"state": metric.metric_state, "updates": metric._update_count} for name, metric in metrics.items()}


def set_metric_states(module: nn.Module, states: dict[str, Any]) -> None:
    """Have the metrics count on from there."""
    for name, saved in states.items():
        metric: Any = module.get_submodule(name)
        for key, value in saved["state"].items():
            setattr(metric, key, value.to(metric.device) if hasattr(value, "to") else value)
        metric._update_count = saved["updates"]
