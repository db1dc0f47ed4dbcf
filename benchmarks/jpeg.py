"""JPEG files: images that are decoded, scaled and cropped in a second, against torchvision and the decoder itself."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.everyday import SIDE, write_files
from benchmarks.options import Options
from benchmarks.ours_data import data_path, figure
from benchmarks.processes import ROOT, Process, python
from benchmarks.tables import Table

PEERS = ROOT / "benchmarks" / "peers"
BATCH = 64


def tables(options: Options) -> Iterator[Table]:
    """Ours decodes everything at the first start, without a cache; torchvision on access, in a process per core."""
    count = 60 if options.quick else 4_000
    title = f"JPEG files of 320 by 256 pixels at {SIDE}, medians of {options.repeats}"
    table = Table(title, ["", "images/s", "images/s per core", "of the decoder alone"])
    runs: dict[str, list[Process]] = {"ours": [], "torchvision's ImageFolder": [], "the decoder alone": []}
    with TemporaryDirectory() as folder:
        write_files(Path(folder), count)
        request = {"experiment": "mnist_mlp", "root": folder, "side": SIDE, "batches": 1}
        for _ in range(options.repeats):
            for kind, run in zip(
                runs,
                (
                    data_path(**request),
                    python(PEERS / "stock_folder.py", folder, BATCH, SIDE),
                    python(PEERS / "decoder.py", folder),
                ),
                strict=True,
            ):
                runs[kind].append(run)
    parts = {"ours": ("setup",), "torchvision's ImageFolder": ("first batch", "epoch"), "the decoder alone": ("epoch",)}
    speeds = {kind: count / sum(figure(runs[kind], part) for part in parts[kind]) for kind in runs}
    for kind, speed in speeds.items():
        share = f"{speed / speeds['the decoder alone']:.0%}"
        table.add(kind, f"{speed:,.0f}", f"{speed / (os.cpu_count() or 1):,.0f}", share)
    yield table
