"""The split by class, from ten classes to 10,000."""

from collections.abc import Iterator
from statistics import median
from time import perf_counter

import torch

from lamphouse.data import Samples
from benchmarks.options import Options
from benchmarks.tables import Table

LABELS, CLASSES = 1_000_000, (10, 100, 1_000, 10_000)


def tables(options: Options) -> Iterator[Table]:
    """Split random labels; the cost has to be flat."""
    size = LABELS // 10 if options.quick else LABELS
    table = Table(f"Many classes: {size:,} labels split by class", ["classes", "s", "times the first"])
    first = 0.0
    for classes in CLASSES:
        labels = torch.randint(classes, (size,), generator=torch.Generator().manual_seed(0))
        seconds = median(split_seconds(labels) for _ in range(1 if options.quick else options.repeats))
        first = first or seconds
        table.add(f"{classes:,}", f"{seconds:.3f}", f"{seconds / first:.2f}")
    yield table


def split_seconds(labels: torch.Tensor) -> float:
    """Measure one split."""
    start = perf_counter()
    Samples(labels, labels).split(0.1, seed=0)
    return perf_counter() - start
