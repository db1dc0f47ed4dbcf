"""Images streamed from shards: speed against memory and torchvision, with ten times as much data as memory."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.folder import BYTES, write_files
from benchmarks.options import Options
from benchmarks.ours_data import figure
from benchmarks.processes import Process, interleaved, python
from benchmarks.tables import Table

ALLOWED = 100  # MiB
FILES = 10_000
Measure = Callable[[], Process]


def tables(options: Options) -> Iterator[Table]:
    """Read an epoch of random images, augmented and normalised; their files are in the system's cache."""
    few, many = (400, 400) if options.quick else (FILES, 10 * ALLOWED * 2**20 // BYTES)
    with TemporaryDirectory() as folder:
        root, small, large = (str(Path(folder, name)) for name in ("images", "small", "large"))
        write_files(Path(root), few)
        sources = {"memory": path(images=few), "torchvision's ImageFolder": path(images=few, folder=root)}
        if not options.quick:
            sources["shards"] = path(images=few, shards=small)
            sources["shards"]()  # writes them
        yield speed(interleaved(options.repeats, **sources), few)
        path(images=many, shards=large)()
        limited = {"shards": path(images=many, shards=large, limit=ALLOWED)}
        if not options.quick:
            limited["memory"] = path(images=many, limit=ALLOWED)
        yield memory(limited, many)


def path(**request: object) -> Measure:
    """Measure a `stream_path.Request`."""
    return partial(python, "-m", "benchmarks.stream_path", json.dumps(request))


def speed(runs: Mapping[str, list[Process]], count: int) -> Table:
    """Compare sources of the same number of images."""
    table = Table(f"Streaming: {count:,} images", ["source", "images per CPU second", "peak growth, MiB"])
    for source, of_kind in runs.items():
        table.add(source, *(f"{figure(of_kind, name):,.0f}" for name in ("images/s", "growth")))
    return table


def memory(measures: Mapping[str, Measure], count: int) -> Table:
    """Read ten times as much data as the process may allocate."""
    size = count * BYTES / 2**20
    title = f"Streaming: {size:,.0f} MiB of images, where {ALLOWED} MiB may be allocated after the imports"
    table = Table(title, ["source", "images per CPU second", "peak growth, MiB"])
    for source, measure in measures.items():
        figures = [figure([measure()], name) for name in ("images/s", "growth")]
        table.add(source, *(f"{value:,.0f}" if figures[0] else "out of memory" for value in figures))
    return table
