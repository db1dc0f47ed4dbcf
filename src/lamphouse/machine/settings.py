"""Settings that are fast on the machine at hand; options override each of them."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch.plugins import MixedPrecision

from lamphouse.machine import memory

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # microseconds of processor time in a period, and the period


@dataclass(frozen=True)
class Machine:
    """How a run uses its machine.

    Args:
        allocator: "keep" makes glibc keep freed memory for the next tensors, "system" leaves the allocator as it is.
        threads: of operations on the CPU; null is one for each core that this process may use.
        matmul_precision: of float32 matrix products, see torch.set_float32_matmul_precision; null is "high", which is
            TF32, on CUDA devices and "highest" on others.
    """

    allocator: Literal["keep", "system"] = "keep"
    threads: PositiveInt | None = None
    matmul_precision: Literal["highest", "high", "medium"] | None = None

    def prepare(self, device: str) -> None:
        """Configure this process for work on a type of device."""
        if self.allocator == "keep":
            memory.keep_memory()
        stop_looking_for_gpus()
        set_threads(self.threads or min(torch.get_num_threads(), allowed_cores()))
        torch.set_float32_matmul_precision(self.matmul_precision or ("high" if device == "cuda" else "highest"))

    def describe(self, device: str, precision: str, channels_last: bool) -> str:
        """Summarize the settings in a line, for a type of device and the Trainer's precision."""
        threads, emulated = torch.get_num_threads(), precision.startswith("bf16") and not native_bf16(device)
        parts = (
            f"{threads} thread{'s' if threads > 1 else ''}",
            precision + (" (emulated here, --trainer.precision null is faster)" if emulated else ""),
            f"channels {'last' if channels_last else 'first'}",
            f"float32 products in {torch.get_float32_matmul_precision()} precision",
            f"freed memory is {'kept' if self.allocator == 'keep' else 'left to the system'}",
        )
        return ", ".join(parts)


def set_threads(count: int) -> None:
    """Set the number of threads of operations on the CPU."""
    if count != torch.get_num_threads():  # else MKL would no longer choose how many of them a product is worth
        torch.set_num_threads(count)


def stop_looking_for_gpus() -> None:
    """Tell torch that there is no GPU, if so; else each step of Adam tries to load NVIDIA's library, for 0.2 ms."""
    if torch.version.cuda and not torch.cuda.is_available():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def device_type(accelerator: object) -> str:
    """Return the type of device that the Trainer will choose; for an accelerator object it is the best available."""
    if isinstance(accelerator, str) and accelerator not in {"auto", "gpu"}:
        return accelerator
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found else "cpu"


def default_precision(device: str) -> Literal["bf16-mixed", "32-true"]:
    """Return the Trainer's fastest precision on a type of device."""
    return "bf16-mixed" if native_bf16(device) else "32-true"


def float16_on_cpu(precision: Any, plugins: list[Any], device: str) -> tuple[Any, list[Any]]:
    """Return a Trainer's precision and plugins; on a CPU, where its 16-mixed is bfloat16, a plugin that has float16."""
    if str(precision) not in {"16", "16-mixed"} or device != "cpu":
        return precision, plugins
    return None, [*plugins, MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))]


def default_channels_last(device: str) -> bool:
    """Whether channels last is the faster memory format on a type of device; on a CPU it is for float32, too."""
    return native_bf16(device) or device == "cpu"


def native_bf16(device: str) -> bool:
    """Whether a type of device has instructions for bfloat16, which is slow where it is emulated."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    # private: torch has no public function for what a CPU can do
    return device == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def allowed_cores() -> int:
    """Count the cores that this process may use: those it is bound to, or a container's quota if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="utf-8").split()
        return min(cores, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores
