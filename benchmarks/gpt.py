"""A small GPT on Shakespeare's plays, from start to exit."""

import re
from collections.abc import Iterator
from functools import partial
from statistics import median

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process, interleaved, python
from benchmarks.tables import Table, compared

PLAIN = ROOT / "benchmarks" / "peers" / "plain_gpt.py"
TEXT = ROOT / "src" / "arc_light" / "data" / "shakespeare.txt.xz"
PARAMETERS, CHARACTERS, BATCH, CONTEXT = 795_904, 111_488, 12, 64  # without positions; of a validation
QUICK, THOROUGH = (2, 3, 2), (8, 250, 146)  # epochs, steps of an epoch, batches of a validation
REFERENCE = 1.88  # nats; nanoGPT's README gives it for these settings


def tables(options: Options) -> Iterator[Table]:
    """Compare with a plain loop."""
    epochs, steps, most = QUICK if options.quick else THOROUGH
    limits = ("--trainer.max_epochs", epochs, "--trainer.limit_train_batches", steps)
    runs = interleaved(
        options.repeats,
        ours=partial(ours.fit, "shakespeare_gpt", *limits, "--trainer.limit_val_batches", most),
        plain=partial(python, PLAIN, TEXT, epochs * steps, steps, most),
    )
    title = f"GPT of 0.8 million parameters, {epochs * steps:,} steps and {epochs} validations"
    table = Table(f"{title}, medians of {options.repeats}", ["", "ours", "plain loop", "ratio"])
    for row, figure, form in (
        (f"validation loss, nats (reference {REFERENCE})", loss, ".4f"),
        ("whole process, s", lambda run: run.seconds, ".1f"),
        ("CPU time, s", lambda run: run.cpu_seconds, ".1f"),
        ("training and validation, s", training_seconds, ".1f"),
    ):
        mine, plain = (median(map(figure, runs[kind])) for kind in ("ours", "plain"))
        table.add(row, *compared(mine, plain, form))
    seen = epochs * (3 * steps * BATCH * CONTEXT + most * BATCH * CONTEXT)  # a backward pass costs two forward ones
    times = (median(map(training_seconds, runs[kind])) for kind in ("ours", "plain"))
    rates = (2 * PARAMETERS * seen / seconds / options.rates.fp32 for seconds in times)
    table.add("of float32 matmul", *(f"{rate:.1%}" for rate in rates), "")
    yield table


def loss(run: Process) -> float:
    """Return the loss of the last validation."""
    return float(run.metrics[-1]["val/loss"]) if run.metrics else lines(run)[-1][1]


def training_seconds(run: Process) -> float:
    """Return the seconds of all steps and validations."""
    return sum(float(row["seconds"] or 0) for row in run.metrics) if run.metrics else lines(run)[-1][0]


def lines(run: Process) -> list[tuple[float, float]]:
    """Parse what the plain loop prints: seconds and loss."""
    found = re.findall(r"^steps \d+ (\S+) (\S+)$", run.output, re.MULTILINE)
    return [(float(seconds), float(value)) for seconds, value in found]
