"""CIFAR-10 with `cifar10_speedrun` and the recipe as published: test accuracy and time."""

from collections.abc import Iterator
from statistics import mean
from typing import Any

from lamphouse.cli.checks.yaml_files import read_yaml
from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process, python
from benchmarks.tables import Table

GOAL = 0.94
RECORD = ROOT / "benchmarks" / "peers" / "record.py"
FLOP = {True: 6 * 62e6, False: 6 * 118e6}  # per image, small or not: two for each product, forward and twice backward
INSTEAD = ("--data", "DigitsDataModule", "--model.widths", "[8, 16]", "--trainer.max_epochs", 1)  # in a quick run


def tables(options: Options) -> Iterator[Table]:
    """Train with several seeds, in turn with the recipe as published; torchvision downloads missing data."""
    data = INSTEAD if options.quick else ("--data.data_dir", ROOT / "data")
    mine: list[Process] = []
    published: list[Process] = []
    for seed in range(options.repeats):
        mine.append(ours.fit("cifar10_speedrun", *data, "--seed_everything", seed))
        published.append(python(RECORD, *(("random", seed, 1, 1) if options.quick else (ROOT / "data", seed, 8, 3))))
    title = f"{'Digits' if options.quick else 'CIFAR-10'} with cifar10_speedrun, and with the recipe as published"
    table = Table(
        f"{title}; the goal is a mean of {GOAL:.1%}",
        ["", "test accuracy", "s, whole process", "s, training (ours: and validation)", "of the faster matmul"],
    )
    limit = max(options.rates.fp32, options.rates.bf16)
    for name, runs in (("ours", mine), ("as published", published)):
        for seed, run in enumerate(runs):
            add(table, f"{name}, seed {seed}", [run], limit)
        add(table, f"{name}, mean", runs, limit)
    yield table


def add(table: Table, name: str, runs: list[Process], limit: float) -> None:
    """Add a row of means over runs."""
    reached = mean(accuracy(run) for run in runs)
    seconds = mean(run.seconds for run in runs)
    rates = [rate for run in runs for rate in epoch_rates(run)]
    share = f"{mean(rates) / limit:.0%}" if rates else ""
    table.add(name, f"{reached:.2%}", f"{seconds:.0f}", f"{mean(map(training_seconds, runs)):.0f}", share)


def accuracy(run: Process) -> float:
    """Return the test accuracy of ours, or what the published recipe prints."""
    return float(run.metrics[-1]["test/acc"] if run.metrics else run.output.split()[-1])


def training_seconds(run: Process) -> float:
    """Return the seconds of all epochs of ours, with validation, or those that the published recipe prints."""
    if run.metrics:
        return sum(float(row["seconds"] or 0) for row in run.metrics)
    return float(run.output.split()[1])


def epoch_rates(run: Process) -> Iterator[float]:
    """Compute the operations per second of each epoch."""
    small = small_epochs()
    for row in run.metrics:
        if row["samples_per_second"]:
            yield float(row["samples_per_second"]) * FLOP[int(row["epoch"]) < small]


def small_epochs() -> int:
    """Read the number of epochs with small images."""
    file: Any = read_yaml((ours.CONFIGS / "cifar10_speedrun.yaml").read_text("utf-8"))
    changes = [change for change in file["data"]["init_args"]["augment"] if isinstance(change, dict)]
    return next(int(change["init_args"]["epochs"]) for change in changes if change["class_path"] == "SmallFirst")
