"""ResNet-18 on CIFAR-10 and on image files at 224 pixels, against a plain loop."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process, interleaved, python
from benchmarks.tables import Table, compared

PLAIN = ROOT / "benchmarks" / "peers" / "plain_resnet.py"
SIDE, CLASSES = 224, 10
FLOP = {32: 6 * 557e6, SIDE: 6 * 1.82e9}  # per image: two for each product, forward and for both gradients
FEW = ("--trainer.max_epochs", 2, "--trainer.limit_val_batches", 1, "--trainer.limit_test_batches", 1)


@dataclass(frozen=True)
class Case:
    """What one row trains on: batches of so many images of a size, below a folder, by an experiment with options."""

    side: int
    batch: int
    steps: int
    root: Path
    experiment: str
    options: tuple[object, ...]


def tables(options: Options) -> Iterator[Table]:
    """Train a few batches with metrics, logger and checkpoints; the first epoch warms up."""
    precision = "bf16-mixed" if options.rates.bf16 > options.rates.fp32 else "32-true"
    title = f"ResNet-18, {precision}, training images/s, medians of {options.repeats}; plain: the faster of two loaders"
    table = Table(title, ["images", "ours", "plain loop", "ratio", "ours, of the faster matmul"])
    with TemporaryDirectory() as folder:
        batch, steps = (2, 2) if options.quick else (64, 8)
        write_files(Path(folder), max(40, batch * steps * 2))
        files = ("--data.root", folder, "--data.image_size", SIDE, "--data.cache_dir", "null")
        add(table, options, precision, Case(SIDE, batch, steps, Path(folder), "folder_resnet", files))
    if not options.quick:
        cifar10 = ("--data.data_dir", ROOT / "data", "--model.depth", 18, "--model.width", "null")
        add(table, options, precision, Case(32, 128, 20, ROOT / "data", "cifar10_resnet", cifar10))
    yield table


def add(table: Table, options: Options, precision: str, case: Case) -> None:
    """Measure a case and add its row."""
    limits = ("--data.batch_size", case.batch, "--trainer.limit_train_batches", case.steps)
    plain = partial(python, PLAIN, case.root, case.side, case.batch, case.steps, precision)
    runs = interleaved(
        options.repeats,
        ours=partial(ours.fit, case.experiment, *case.options, *FEW, *limits, "--trainer.precision", precision),
        here=partial(plain, 0),
        workers=partial(plain, os.cpu_count() or 1),
    )
    speeds = {kind: median(map(images_per_second, runs[kind])) for kind in runs}
    limit = max(options.rates.fp32, options.rates.bf16)
    row = compared(speeds["ours"], max(speeds["here"], speeds["workers"]), ",.1f")
    share = f"{speeds['ours'] * FLOP[case.side] / limit:.0%}"
    table.add(f"{case.side} pixels, batches of {case.batch}", *row, share)


def images_per_second(run: Process) -> float:
    """Read the speed of the last epoch."""
    epochs = [float(row["samples_per_second"]) for row in run.metrics if row["samples_per_second"]]
    return epochs[-1] if epochs else float(run.output.split()[-1])


def write_files(root: Path, count: int) -> None:
    """Write JPEG files that compress like photographs do: smooth, with a little noise."""
    random = np.random.default_rng(0)
    for i in range(count):
        colours = Image.fromarray(random.integers(256, size=(8, 8, 3), dtype=np.uint8)).resize((320, 256))
        noise = random.integers(16, size=(256, 320, 3), dtype=np.uint8)
        path = root / f"{i % CLASSES}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.asarray(colours) // 2 + noise).save(path, quality=90)
