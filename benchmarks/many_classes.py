"""The split and the tables of classes, from ten classes to 10,000, in child processes."""

from collections.abc import Iterator
from functools import partial

from benchmarks.options import Options
from benchmarks.ours_data import figure, peak_mib
from benchmarks.processes import interleaved, python
from benchmarks.tables import Table

CLASSES = (10, 100, 1_000, 10_000)
SPLIT = """
import json, sys, time, torch
from lamphouse.data import Samples
classes, size = map(int, sys.argv[1:])
labels = torch.randint(classes, (size,), generator=torch.Generator().manual_seed(0))
start = time.perf_counter()
Samples(labels, labels).split(0.1, seed=0)
print(json.dumps({"s": time.perf_counter() - start}))
"""
TABLE = """
import json, sys, time, torch
from lamphouse.pages import Predictions
classes, size = map(int, sys.argv[1:])
outputs, labels = torch.randn(size, classes).softmax(1), torch.randint(classes, (size,))
start = time.perf_counter()
found = Predictions(outputs, labels, [str(i) for i in range(classes)])
found.table(), found.macro_f1, found.calibration_error
print(json.dumps({"s": time.perf_counter() - start}))
"""
LIMIT = "1.5"


def tables(options: Options) -> Iterator[Table]:
    """Split random labels, whose time has to be flat, and make tables, whose memory has to be nearly so."""
    labels, samples = (100_000, 200) if options.quick else (1_000_000, 2_000)
    numbers = CLASSES[:: len(CLASSES) - 1] if options.quick else CLASSES
    split = {f"split {classes}": partial(python, "-c", SPLIT, classes, labels) for classes in numbers}
    tabled = {f"table {classes}": partial(python, "-c", TABLE, classes, samples) for classes in numbers}
    runs = interleaved(options.repeats, **split, **tabled)
    table = Table(f"Many classes: {labels:,} labels split by class", ["classes", "s", "times the first", "limit"])
    first = figure(runs["split 10"], "s")
    for classes in numbers:
        seconds = figure(runs[f"split {classes}"], "s")
        table.add(f"{classes:,}", f"{seconds:.3f}", f"{seconds / first:.2f}", LIMIT)
    yield table
    columns = ["classes", "s", "peak memory, MiB", "times the first", "limit"]
    table = Table(f"Many classes: predictions of {samples:,} samples, the table of their classes", columns)
    smallest = peak_mib(runs["table 10"])
    for classes in numbers:
        seconds, peak = figure(runs[f"table {classes}"], "s"), peak_mib(runs[f"table {classes}"])
        table.add(f"{classes:,}", f"{seconds:.3f}", f"{peak:,.0f}", f"{peak / smallest:.2f}", LIMIT)
    yield table
