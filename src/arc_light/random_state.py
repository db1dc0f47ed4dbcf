"""The state of every generator of random numbers, in types that a checkpoint may hold."""

import random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist


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
    np.random.set_state((name, keys.numpy().astype("uint32"), *rest))  # noqa: NPY002
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
