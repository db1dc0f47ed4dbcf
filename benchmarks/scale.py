"""Data in memory, up to many times the size of MNIST: time and memory."""

from collections.abc import Iterator
from functools import partial

from benchmarks.options import Options
from benchmarks.ours_data import MOVES, data_path, figure, peak_mib
from benchmarks.processes import interleaved
from benchmarks.tables import Table

IMAGES, BYTES = 60_000, 784  # of MNIST's training images


def tables(options: Options) -> Iterator[Table]:
    """Measure at each multiple of MNIST's size; drawing the random images counts as set-up."""
    table = Table(
        "Scale: random 28 by 28 images in memory, mnist_mlp's loader and augmentation",
        [
            *("images", "MiB", "draw and split, s", "first batch, s", "images/s", "of copying memory"),
            *("peak memory, MiB", "above an empty one"),
        ],
    )
    sizes = [400 if options.quick else IMAGES * factor for factor in options.factors]
    requests = {
        str(size): partial(data_path, experiment="mnist_mlp", images=size, batches=2 if options.quick else 400)
        for size in sizes
    }
    runs = interleaved(options.repeats, empty=partial(data_path, experiment="mnist_mlp", images=400), **requests)
    for size in sizes:
        found, peak = runs[str(size)], peak_mib(runs[str(size)])
        seconds = [f"{figure(found, name):.3f}" for name in ("setup", "first batch")]
        speed = figure(found, "images/s")
        reached = f"{speed * BYTES * MOVES / options.rates.bandwidth:.1%}"
        memory = [f"{peak:,.0f}", f"{peak - peak_mib(runs['empty']):,.0f}"]
        table.add(f"{size:,}", f"{size * BYTES / 2**20:,.0f}", *seconds, f"{speed:,.0f}", reached, *memory)
    yield table
