"""The machine's limits: matrix products and memory bandwidth, measured in a child process.

Usage: python -m benchmarks.rates SIDE MEGABYTES
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from lamphouse.machine import memory, start
from benchmarks.processes import python
from benchmarks.tables import Table

QUICK, THOROUGH = (256, 8), (4096, 512)  # side of matrices; megabytes to copy
PATIENCE = 0.5  # s for a product; after a slower one, no larger one is tried


@dataclass(frozen=True)
class Rates:
    """The limits of the machine.

    Args:
        device: its name.
        fp32: floating-point operations per second of float32 matrix products.
        bf16: likewise of bfloat16.
        bandwidth: bytes read and written per second by a copy.
    """

    device: str
    fp32: float
    bf16: float
    bandwidth: float

    def table(self) -> Table:
        """Return them as a table."""
        table = Table(f"Limits of {self.device}", ["TFLOP/s, float32 matmul", "TFLOP/s, bfloat16 matmul", "GB/s, copy"])
        table.add(f"{self.fp32 / 1e12:.3f}", f"{self.bf16 / 1e12:.3f}", f"{self.bandwidth / 1e9:.1f}")
        return table


def measure_rates(quick: bool) -> Rates:
    """Measure in a child process, with our settings of memory and threads."""
    output = python("-m", "benchmarks.rates", *(QUICK if quick else THOROUGH)).output
    return Rates(**json.loads(output.splitlines()[-1]))


def best(work: Callable[[], object], device: str, repeats: int = 5) -> float:
    """Return the shortest time of some work, seconds."""
    import torch  # noqa: PLC0415  # the parent does not need it

    times = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        if device != "cpu":
            torch.accelerator.synchronize()
        times.append(perf_counter() - start)
    return min(times)


def product_rate(side: int, dtype: Any, device: str) -> float:
    """Multiply matrices of growing size, up to `side`, and return the highest rate in operations per second.

    A processor that emulates a type can take minutes for the largest, and gains nothing from them.
    """
    import torch  # noqa: PLC0415  # the parent does not need it

    rate = 0.0
    for size in (side // 16, side // 4, side):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        seconds = best(partial(torch.matmul, a, b), device)
        rate = max(rate, 2 * size**3 / seconds)
        if seconds > PATIENCE:
            break
    return rate


def main(side: int, megabytes: int) -> None:
    """Print the rates as JSON."""
    start.prepare()
    import torch  # noqa: PLC0415  # after the environment is set

    memory.keep_memory()
    torch.set_float32_matmul_precision("high")  # as in our runs with CUDA; a CPU computes the same
    device = str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    name = torch.cuda.get_device_name() if device == "cuda" else device
    rates: dict[str, object] = {"device": name}
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        rates[kind] = product_rate(side, dtype, device)
    source = torch.zeros(megabytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    rates["bandwidth"] = 2 * source.numel() / best(lambda: target.copy_(source), device)
    print(json.dumps(rates))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
