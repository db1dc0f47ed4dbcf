"""CIFAR-10 by `cifar10_speedrun`: what it reaches, and how long it takes."""

from collections.abc import Iterator
from statistics import mean

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process
from benchmarks.tables import Table

GOAL = 0.94
FLOP = 6 * 118e6  # for an image: two for each of 118 million products, forward and for both gradients
INSTEAD = ("--data", "DigitsDataModule", "--model.widths", "[8, 16]", "--trainer.max_epochs", 1)  # in a quick run


def tables(options: Options) -> Iterator[Table]:
    """Train with several seeds; torchvision downloads the data where the project has none."""
    data = INSTEAD if options.quick else ("--data.data_dir", ROOT / "data")
    runs = {seed: ours.fit("cifar10_speedrun", *data, "--seed_everything", seed) for seed in range(options.repeats)}
    title = f"{'Digits' if options.quick else 'CIFAR-10'} by cifar10_speedrun, test with mirror images"
    table = Table(
        f"{title}; the goal is a mean of {GOAL:.1%}",
        ["seed", "test accuracy", "s, whole process", "s, epochs", "of bfloat16 matmul"],
    )
    for seed, run in runs.items():
        add(table, f"{seed}", [run], options.rates.bf16)
    add(table, "mean", list(runs.values()), options.rates.bf16)
    yield table


def add(table: Table, name: str, runs: list[Process], limit: float) -> None:
    """Add a row of the means of runs."""
    accuracy = mean(float(run.metrics[-1]["test/acc"]) for run in runs)
    seconds = mean(run.seconds for run in runs)
    epochs = mean(sum(float(row["seconds"] or 0) for row in run.metrics) for run in runs)
    speed = mean(float(row["images_per_second"]) for run in runs for row in run.metrics if row["images_per_second"])
    table.add(name, f"{accuracy:.2%}", f"{seconds:.0f}", f"{epochs:.0f}", f"{speed * FLOP / limit:.0%}")
