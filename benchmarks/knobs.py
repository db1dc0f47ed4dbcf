"""Effect of each machine setting: a run as shipped, against runs that change one setting."""

from collections.abc import Iterator
from functools import partial
from shutil import which
from statistics import median

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process, interleaved
from benchmarks.tables import Table

KNOBS = {
    "as chosen": (),
    "--machine.allocator system": ("--machine.allocator", "system"),
    "--machine.threads 1": ("--machine.threads", 1),
    "--machine.matmul_precision medium": ("--machine.matmul_precision", "medium"),
    "--trainer.precision 32-true": ("--trainer.precision", "32-true"),
    "--model.channels_last false": ("--model.channels_last", "false"),
    "--model.channels_last true": ("--model.channels_last", "true"),
    "torch's default for all": (
        *("--machine.allocator", "system", "--machine.matmul_precision", "highest"),
        *("--trainer.precision", "32-true", "--model.channels_last", "false"),
    ),
}
COMPILED = {"--model.compile true": ("--model.compile", "true")}
FLOP = 6 * 106e6  # per image: two for each of 106 million products, forward and for both gradients
FEW = ("--trainer.max_epochs", 2, "--trainer.limit_val_batches", 1, "--trainer.limit_test_batches", 1)
INSTEAD = ("--data", "DigitsDataModule", "--trainer.limit_train_batches", 1)  # in a quick run


def tables(options: Options) -> Iterator[Table]:
    """Train a few batches of cifar10_resnet with each; the first epoch warms up, and compiles if that is chosen."""
    data = INSTEAD if options.quick else ("--data.data_dir", ROOT / "data", "--trainer.limit_train_batches", 20)
    knobs = KNOBS | (COMPILED if which("g++") and not options.quick else {})  # it takes a minute
    kinds = {name: partial(ours.fit, "cifar10_resnet", *data, *FEW, *knob) for name, knob in knobs.items()}
    runs = interleaved(options.repeats, **kinds)
    speeds = {name: median(last_speed(run) for run in runs[name]) for name in runs}
    title = "Machine settings: training images/s of cifar10_resnet"
    table = Table(title, ["", "images/s", "speed-up of the choice", "of the faster matmul"])
    limit = max(options.rates.fp32, options.rates.bf16)
    for name, speed in speeds.items():
        table.add(name, f"{speed:,.0f}", f"{speeds['as chosen'] / speed:.2f}", f"{speed * FLOP / limit:.0%}")
    yield table


def last_speed(run: Process) -> float:
    """Read the speed of the last epoch, images/s."""
    return [float(row["samples_per_second"]) for row in run.metrics if row["samples_per_second"]][-1]
