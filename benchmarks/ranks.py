"""Steps of DDP in processes of one thread each: times as JSON.

Usage: python -m benchmarks.ranks PROCESSES STEPS
"""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torchvision.models import resnet18

from lamphouse.machine.memory import keep_memory

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {  # and the shape of a process's batch
    "MLP": (lambda: nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 10)), (256, 784)),
    "ResNet-18": (lambda: resnet18(num_classes=10), (16, 3, 64, 64)),
}


def main() -> None:
    """Measure as one of the processes that the command line asks for, and start the others if it is the first."""
    size, steps, rank = (int(text) for text in [*sys.argv[1:], "0"][:3])
    command = [sys.executable, "-m", "benchmarks.ranks", str(size), str(steps)]
    others = [] if rank else [subprocess.Popen([*command, str(other)]) for other in range(1, size)]
    torch.set_num_threads(1)
    keep_memory()
    distributed.init_process_group("gloo", f"file://{Path('ranks').absolute()}", rank=rank, world_size=size)
    found = {name: measure(name, steps) for name in NETWORKS}
    if rank == 0:
        print(json.dumps(found))
    distributed.destroy_process_group()
    for process in others:
        process.wait()


def measure(name: str, steps: int) -> dict[str, float]:
    """Return medians: seconds of a step, of one without all-reduce, of an all-reduce alone, and of a tiny one."""
    make, shape = NETWORKS[name]
    network = DistributedDataParallel(make())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    inputs, labels = torch.randn(shape), torch.randint(10, shape[:1])
    gradients = torch.zeros(sum(weight.numel() for weight in network.parameters()))

    def step(context: AbstractContextManager[None]) -> None:
        with context:
            loss: Tensor = cross_entropy(network(inputs), labels)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    work: dict[str, Callable[[], object]] = {
        "step": lambda: step(nullcontext()),
        "alone": lambda: step(network.no_sync()),
        "reduce": lambda: distributed.all_reduce(gradients),
        "latency": lambda: distributed.all_reduce(gradients[:1]),
    }
    times: dict[str, list[float]] = {kind: [] for kind in work}
    for _ in range(steps + 1):  # the first is not counted
        for kind, do in work.items():
            distributed.barrier()
            start = perf_counter()
            do()
            times[kind].append(perf_counter() - start)
    medians = {kind: median(values[1:]) for kind, values in times.items()}
    return {"bytes": 4 * gradients.numel(), "samples": shape[0], **medians}


if __name__ == "__main__":
    main()
