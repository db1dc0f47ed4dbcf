"""A training step: the overhead of the loops over a raw loop with the same arithmetic."""

import re
from collections.abc import Iterator
from functools import partial
from statistics import median

from benchmarks import ours
from benchmarks.mnist import TRAINED
from benchmarks.mnist_files import mnist_files
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process, interleaved, python
from benchmarks.tables import Table

PEERS = ROOT / "benchmarks" / "peers"
LOOPS = ("handwritten", "manual", "automatic")
PEER_ROWS = {
    "raw_loop": "raw loop, same arithmetic",
    "bare_trainer": "Lightning's loop alone",
    "stock_mnist": "Lightning, same features",
}
LIMITS = {"handwritten": "1.1", "automatic": "1.3"}
BATCH, EPOCHS = 64, 3  # the first epoch warms up
TUTORIAL = [
    *("--data.batch_size", BATCH, "--data.augment", "[]", "--trainer.max_epochs", EPOCHS),
    *("--model.optimizer", "SGD", "--model.optimizer.lr", 0.01, "--model.lr_scheduler", "null"),
]


def tables(options: Options) -> Iterator[Table]:
    """Compare the three loops with a raw one, with Lightning's alone, and with Lightning with the same features."""
    with mnist_files(options) as files:
        fits = {loop: partial(ours.fit, "mnist_mlp", *files.options, *TUTORIAL, "--loop", loop) for loop in LOOPS}
        peers = {name: partial(python, PEERS / f"{name}.py", files.folder, EPOCHS) for name in PEER_ROWS}
        runs = interleaved(options.repeats, **peers, **fits)
    seconds = {loop: seconds_per_1000(runs[loop]) for loop in runs}
    title = f"Step: seconds per 1,000 steps, 784-128-10, batches of {BATCH} of {files.name} in memory, SGD, with"
    columns = ["loop", "s", "ratio", "limit", "of float32 matmul"]
    table = Table(f"{title} progress bar, metrics, CSV logger and checkpoints", columns)
    for loop, value in seconds.items():
        reached = BATCH * TRAINED / (value / 1000) / options.rates.fp32
        row = PEER_ROWS.get(loop, loop), f"{value:.3f}", f"{value / seconds['raw_loop']:.2f}", LIMITS.get(loop, "")
        table.add(*row, f"{reached:.1%}")
    yield table


def seconds_per_1000(runs: list[Process]) -> float:
    """Read the median over epochs, without the first, from the metrics of a run or what a peer printed."""
    return median(seconds for run in runs for seconds in (logged(run) or printed(run))[1:])


def logged(run: Process) -> list[float]:
    """Read seconds per 1,000 steps from the throughput of each epoch."""
    return [1000 * BATCH / float(row["samples_per_second"]) for row in run.metrics if row["samples_per_second"]]


def printed(run: Process) -> list[float]:
    """Read seconds per 1,000 steps from the line of each epoch."""
    return [float(seconds) for seconds in re.findall(r"^epoch \d+ (\S+)", run.output, re.MULTILINE)]
