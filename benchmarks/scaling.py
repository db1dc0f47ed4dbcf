"""Scaling over processes: measured on this machine's cores, and estimated for GPUs by the same model."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

from lamphouse.machine.settings import allowed_cores
from benchmarks.options import Options
from benchmarks.processes import interleaved, python
from benchmarks.tables import Table

PROCESSES = (1, 2, 4)
GPUS = (8, 64, 256, 1024)
GPUS_OF_A_NODE = 8
FLOPS = 989e12  # a second; H100, dense bfloat16
NVLINK, INFINIBAND = (0.8 * 450e9, 3e-6), (0.8 * 50e9, 6e-6)  # bytes a second each way for a GPU, and seconds of a hop
BACKWARD = 2 / 3  # of a step's compute, during which gradients are reduced


@dataclass(frozen=True)
class Training:
    """A network trained on GPUs; gradients are float32.

    Args:
        name: of the network.
        parameters: their number.
        flops: of a sample's forward and backward pass.
        batch: samples of a GPU.
        utilization: share of the GPU's peak that its compute reaches.
    """

    name: str
    parameters: float
    flops: float
    batch: int
    utilization: float


TRAININGS = (  # multiply-adds at 224 pixels from torchvision's table; 6 FLOP a parameter and token, plus attention
    Training("ResNet-18", 11.7e6, 3 * 2 * 1.81e9, 256, 0.2),
    Training("ResNet-50", 25.6e6, 3 * 2 * 4.09e9, 256, 0.25),
    Training("GPT 124M", 124e6, 1024 * (6 * 124e6 + 12 * 12 * 768 * 1024), 32, 0.4),
)


def ring(size: int, data: float, bandwidth: float, hop: float) -> float:
    """Return the seconds of a ring all-reduce: 2 (N - 1) hops, each with one N-th of the data."""
    return 2 * (size - 1) * (data / size / bandwidth + hop)


def tables(options: Options) -> Iterator[Table]:
    """Measure each network with each number of processes, and estimate clusters."""
    yield measured(options)
    yield estimated()


def measured(options: Options) -> Table:
    """Compare steps of DDP with what the model predicts from one process and the all-reduce of two."""
    cores = allowed_cores()
    table = Table(
        f"Scaling: DDP with gloo on {cores} cores, one thread and one batch for each process",
        [
            *("network, processes", "step, ms", "without all-reduce, ms", "communication", "all-reduce alone, ms"),
            *("samples/s", "efficiency", "of what the cores allow", "predicted step, ms", "predicted / measured"),
        ],
    )
    sizes, steps = ((1, 2), 1) if options.quick else (PROCESSES, 8)
    kinds = {str(size): partial(python, "-m", "benchmarks.ranks", size, steps) for size in sizes}
    runs = interleaved(options.repeats, **kinds)
    outputs = {size: [json.loads(run.output.splitlines()[-1]) for run in runs[str(size)]] for size in sizes}
    for name in outputs[1][0]:
        some = {size: [output[name] for output in found] for size, found in outputs.items()}
        found = {
            size: {key: median(run[key] for run in measured) for key in measured[0]} for size, measured in some.items()
        }
        data, hop = found[2]["bytes"], found[2]["latency"] / 2
        bandwidth = data / max(found[2]["reduce"] - found[2]["latency"], 1e-9)
        for size, times in found.items():
            crowd = max(1, size / cores)  # processes of a core
            predicted = (found[1]["alone"] + ring(size, data, bandwidth, hop)) * crowd
            efficiency = found[1]["step"] / times["step"]
            cells = [1e3 * times["step"], 1e3 * times["alone"], 1e3 * times["reduce"]]
            step, alone, reduce = (f"{cell:,.1f}" for cell in cells)
            share = f"{max(0, 1 - times['alone'] / times['step']):.0%}"
            speed = f"{size * times['samples'] / times['step']:,.0f}"
            quality = [f"{efficiency:.0%}", f"{efficiency * crowd:.0%}"]
            prediction = [f"{1e3 * predicted:,.1f}", f"{predicted / times['step']:.2f}"]
            table.add(f"{name}, {size}", step, alone, share, reduce, speed, *quality, *prediction)
    return table


def estimated() -> Table:
    """Estimate the efficiency on GPUs, where the all-reduce runs during the backward pass."""
    columns = ["network, GPUs", "MB of gradients", "compute, ms", "all-reduce, ms", "not overlapped, ms", "efficiency"]
    table = Table("Estimated: DDP on H100 GPUs, 8 to a node; the assumptions are in docs/scaling.md", columns)
    for training in TRAININGS:
        compute = training.batch * training.flops / (FLOPS * training.utilization)
        data = 4 * training.parameters
        for size in GPUS:
            reduce = ring(size, data, *(NVLINK if size <= GPUS_OF_A_NODE else INFINIBAND))
            last_bucket = reduce * min(1, 25e6 / data)  # bytes; it begins when the backward pass ends
            exposed = max(reduce - BACKWARD * compute, last_bucket)
            figures = [1e3 * seconds for seconds in (compute, reduce, exposed)]
            efficiency = compute / (compute + exposed)
            cells = [f"{data / 1e6:,.0f}", *(f"{figure:,.1f}" for figure in figures), f"{efficiency:.0%}"]
            table.add(f"{training.name}, {size:,}", *cells)
    return table
