"""The data path against the model: which of the two waits for the other."""

from collections.abc import Iterator
from functools import partial

from benchmarks.options import Options
from benchmarks.ours_data import MOVES, data_path, figure
from benchmarks.processes import interleaved
from benchmarks.tables import Table

SIZES = {"mnist_mlp": (60_000, 784, 400), "cifar10_resnet": (50_000, 3072, 20)}  # images, bytes of one, steps


def tables(options: Options) -> Iterator[Table]:
    """Measure both for shipped experiments, on random images."""
    table = Table(
        "Data path: images/s of loading, augmentation and normalization, against a training step",
        ["experiment", "data path", "training step", "times faster", "of copying memory"],
    )
    for name, (images, size, steps) in SIZES.items():
        request = {"experiment": name, "images": 1_000, "batches": 5, "steps": 1}
        if not options.quick:
            request |= {"images": images, "batches": 300, "steps": steps}
        runs = interleaved(options.repeats, ours=partial(data_path, **request))["ours"]
        speed, appetite = figure(runs, "images/s"), figure(runs, "appetite")
        table.add(
            name,
            f"{speed:,.0f}",
            f"{appetite:,.0f}",
            f"{speed / appetite:.1f}",
            f"{speed * size * MOVES / options.rates.bandwidth:.1%}",
        )
    yield table
