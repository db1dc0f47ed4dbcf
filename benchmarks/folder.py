"""Folders of image files: the first start, and the second from the cache."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.options import Options
from benchmarks.ours_data import MOVES, data_path, figure, peak_mib
from benchmarks.processes import ROOT, Process, python
from benchmarks.tables import Table

STOCK = ROOT / "benchmarks" / "peers" / "stock_folder.py"
FILES, CLASSES, SIDE, BATCH = 1_000, 10, 28, 128  # files for each multiple; pixels
BYTES = 3 * SIDE**2  # of an image

Runs = dict[str, list[Process]]


def tables(options: Options) -> Iterator[Table]:
    """Ours reads all images at the start, test images included; torchvision reads each on access."""
    title = f"Folder: seconds to the first batch and for the rest of the epoch; {SIDE}-pixel PNG files"
    limit = f"of {options.rates.bandwidth / 1e9:.1f} GB/s, copy"
    columns = ["first batch, s", "rest of the epoch, s", "images/s", limit, "peak memory, MiB"]
    table = Table(title, ["files", "start", *columns])
    for factor in options.factors:
        count = 40 if options.quick else FILES * factor
        with TemporaryDirectory() as folder:
            write_files(Path(folder, "images"), count)
            runs = starts(Path(folder), count, options.repeats)
        for start, of_kind in runs.items():
            seconds = [figure(of_kind, "setup") + figure(of_kind, "first batch"), figure(of_kind, "epoch")]
            speed = count / sum(seconds)
            reached = f"{speed * BYTES * MOVES / options.rates.bandwidth:.3%}"
            speeds = [*(f"{value:.2f}" for value in seconds), f"{speed:,.0f}", reached]
            table.add(f"{count:,}", start, *speeds, f"{peak_mib(of_kind):,.0f}")
    yield table


def starts(folder: Path, count: int, repeats: int) -> Runs:
    """Start without a cache, with one, and with torchvision."""
    root, cache = folder / "images", folder / "cache"
    ours = partial(data_path, experiment="mnist_mlp", root=str(root), cache=str(cache), batches=count)
    runs: Runs = {name: [] for name in ("first", "second", "torchvision")}
    for _ in range(repeats):
        for path in cache.glob("*"):
            path.unlink()
        for name in ("first", "second"):
            runs[name].append(ours())
        runs["torchvision"].append(python(STOCK, root, BATCH))
    return runs


def write_files(root: Path, count: int) -> None:
    """Write random images."""
    random = np.random.default_rng(0)
    for i in range(count):
        path = root / f"{i % CLASSES}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8)).save(path, compress_level=1)
