"""What suits the machine that a run is on, each of which an option overrules."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt

from lamphouse.machine import memory

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # microseconds of processor time in a period, and the period


@dataclass(frozen=True)
class Machine:
    """How a run uses its machine.

    Args:
        allocator: "keep" has glibc keep freed memory for the next tensors, "system" leaves it alone.
        threads: of operations on a CPU; null is one for each core that this process may use.
        matmul_precision: of products of float32 matrices, see torch.set_float32_matmul_precision; null is "high", which
            is TF32, with CUDA and "highest" without.
    """

    allocator: Literal["keep", "system"] = "keep"
    threads: PositiveInt | None = None
    matmul_precision: Literal["highest", "high", "medium"] | None = None

    def prepare(self, device: str) -> None:
        """Set this process up for work on a device, which it names by its type."""
        if self.allocator == "keep":
            memory.keep_memory()
        torch.set_num_threads(self.threads or min(torch.get_num_threads(), allowed_cores()))
        torch.set_float32_matmul_precision(self.matmul_precision or ("high" if device == "cuda" else "highest"))

    def describe(self, device: str, precision: str, channels_last: bool) -> str:
        """Say in a line what was chosen, on a device that its type names."""
        if precision.startswith("bf16") and not native_bf16(device):
            precision = f"{precision} (emulated here, --trainer.precision null is faster)"
        layout = "channels last" if channels_last else "channels first"
        products = f"float32 products in {torch.get_float32_matmul_precision()} precision"
        memory = "freed memory is kept" if self.allocator == "keep" else "freed memory is left to the system"
        threads = torch.get_num_threads()
        cores = f"{threads} thread{'s' if threads > 1 else ''}"
        return f"{cores}, {precision}, {layout}, {products}, {memory}"


def choose(config: Namespace) -> str:
    """Fill in precision and memory format where they are left to the machine, and return the type of its device."""
    device = device_type(config.trainer.accelerator)
    fast = native_bf16(device)
    if config.trainer.precision is None and not config.trainer.plugins:  # one of which may be a precision
        config.trainer.precision = "bf16-mixed" if fast else "32-true"
    if config.model.init_args.get("channels_last", False) is None:
        config.model.init_args.channels_last = fast or device == "cpu"  # where float32 is faster so, too
    return device


def device_type(accelerator: object) -> str:
    """Name the type of device that the Trainer will choose; an accelerator given by its class is taken for the best."""
    if isinstance(accelerator, str) and accelerator not in {"auto", "gpu"}:
        return accelerator
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found else "cpu"


def native_bf16(device: str) -> bool:
    """Say whether a device has instructions for bfloat16: it is slow where they are emulated."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def allowed_cores() -> int:
    """Count the cores that this process may use: those it is bound to, or a container's quota if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text().split()
        return min(cores, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores
