"""CIFAR-10 with `cifar10_speedrun`: test accuracy and time."""

from collections.abc import Iterator
from statistics import mean
from typing import Any

from lamphouse.cli.checks.yaml_files import read_yaml
from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process
from benchmarks.tables import Table

GOAL = 0.94
FLOP = {True: 6 * 62e6, False: 6 * 118e6}  # per image, small or not: two for each product, forward and twice backward
INSTEAD = ("--data", "DigitsDataModule", "--model.widths", "[8, 16]", "--trainer.max_epochs", 1)  # in a quick run


def tables(options: Options) -> Iterator[Table]:
    """Train with several seeds; torchvision downloads missing data."""
    data = INSTEAD if options.quick else ("--data.data_dir", ROOT / "data")
    runs = {seed: ours.fit("cifar10_speedrun", *data, "--seed_everything", seed) for seed in range(options.repeats)}
    title = f"{'Digits' if options.quick else 'CIFAR-10'} with cifar10_speedrun, tested with mirror images"
    table = Table(
        f"{title}; the goal is a mean of {GOAL:.1%}",
        ["seed", "test accuracy", "s, whole process", "s, epochs", "of the faster matmul"],
    )
    limit = max(options.rates.fp32, options.rates.bf16)
    for seed, run in runs.items():
        add(table, f"{seed}", [run], limit)
    add(table, "mean", list(runs.values()), limit)
    yield table


def add(table: Table, name: str, runs: list[Process], limit: float) -> None:
    """Add a row of means over runs."""
    accuracy = mean(float(run.metrics[-1]["test/acc"]) for run in runs)
    seconds = mean(run.seconds for run in runs)
    epochs = mean(sum(float(row["seconds"] or 0) for row in run.metrics) for run in runs)
    rates = mean(rate for run in runs for rate in epoch_rates(run))
    table.add(name, f"{accuracy:.2%}", f"{seconds:.0f}", f"{epochs:.0f}", f"{rates / limit:.0%}")


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
