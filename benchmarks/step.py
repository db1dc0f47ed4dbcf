"""A training step: the overhead of the loops."""

from collections.abc import Iterator
from functools import partial
from statistics import median

from benchmarks import ours
from benchmarks.mnist import TRAINED
from benchmarks.mnist_files import mnist_files
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process, interleaved, python
from benchmarks.tables import Table

STOCK = ROOT / "benchmarks" / "peers" / "stock_mnist.py"
LOOPS = ("handwritten", "manual", "automatic")
BATCH, EPOCHS = 64, 3  # the first epoch warms up
TUTORIAL = [
    *("--data.batch_size", BATCH, "--data.augment", "[]", "--trainer.max_epochs", EPOCHS),
    *("--model.optimizer", "SGD", "--model.optimizer.lr", 0.01, "--model.lr_scheduler", "null"),
]


def tables(options: Options) -> Iterator[Table]:
    """Compare the three loops, and Lightning with the same features."""
    with mnist_files(options) as files:
        fits = {loop: partial(ours.fit, "mnist_mlp", *files.options, *TUTORIAL, "--loop", loop) for loop in LOOPS}
        stock = partial(python, STOCK, files.folder, EPOCHS)
        runs = interleaved(options.repeats, **fits, stock=stock)
    seconds = {loop: seconds_per_1000(runs[loop]) for loop in runs}
    title = f"Step: seconds per 1,000 steps, 784-128-10, batches of {BATCH} of {files.name} in memory, SGD, with"
    table = Table(
        f"{title} progress bar, metrics, CSV logger and checkpoints", ["loop", "s", "ratio", "of float32 matmul"]
    )
    for loop, value in seconds.items():
        name = "Lightning, same features" if loop == "stock" else loop
        reached = BATCH * TRAINED / (value / 1000) / options.rates.fp32
        table.add(name, f"{value:.3f}", f"{value / seconds['handwritten']:.2f}", f"{reached:.1%}")
    yield table


def seconds_per_1000(runs: list[Process]) -> float:
    """Read the median over epochs, without the first."""
    epochs = ([row["samples_per_second"] for row in run.metrics if row["samples_per_second"]] for run in runs)
    return 1000 * BATCH / median(float(speed) for speeds in epochs for speed in speeds[1:])
