"""MNIST, from start to exit, to the accuracy that the tutorial's loop reaches."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from statistics import median

from benchmarks import ours
from benchmarks.mnist_files import Files, mnist_files
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process, interleaved, python
from benchmarks.tables import Table

TUTORIAL = ROOT / "benchmarks" / "peers" / "tutorial_loop.py"
ACCURACY, MOST_EPOCHS = 0.9176, 20
OUR_SHARE = 0.25  # of an epoch
QUARTER = ("--trainer.max_epochs", 1, "--trainer.limit_train_batches", OUR_SHARE, "--data.batch_size", 128)
SEEN = 2 * (784 * 128 + 128 * 10)  # operations per image, forward: a multiplication and an addition for each weight
TRAINED = 2 * (2 * 784 * 128 + 3 * 128 * 10)  # and backward: gradients of the weights and of the second layer's inputs
IMPORTS = "import torch; from torch.utils.data import DataLoader; from torchvision import datasets, transforms"

Curve = Sequence[tuple[float, float]]  # seconds of training, accuracy


def tables(options: Options) -> Iterator[Table]:
    """Compare with the tutorial's loop, with and without imports."""
    with mnist_files(options) as files:
        runs = interleaved(
            options.repeats,
            ours=partial(ours.fit, "mnist_mlp", *files.options, *QUARTER),
            peer=partial(python, TUTORIAL, files.folder, ACCURACY, 1 if options.quick else MOST_EPOCHS),
            our_imports=partial(ours.imports, ours.MNIST),
            peer_imports=partial(python, "-c", IMPORTS),
        )
        if options.picture:
            draw(options.picture, shipped_curve(files), tutorial_curve(runs["peer"][0]))
        yield whole_process(files, runs, options.rates.fp32)


def whole_process(files: Files, runs: dict[str, list[Process]], limit: float) -> Table:
    """Build the table; the limit is in operations per second."""
    seconds = {kind: median(run.seconds for run in runs[kind]) for kind in runs}
    reached = {"ours": [float(run.metrics[-1]["test/acc"]) for run in runs["ours"]]}
    reached["peer"] = [tutorial_curve(run)[-1][1] for run in runs["peer"]]
    epochs = median(len(tutorial_curve(run)) for run in runs["peer"])
    ours_is = "mnist_mlp, a quarter of an epoch in 128s"
    title = f"{files.name} to {ACCURACY:.2%} test accuracy, seconds: {ours_is}, against the"
    table = Table(f"{title} tutorial's loop, {epochs:.0f} epochs", ["", "ours", "tutorial", "times faster", "limit"])
    table.add("test accuracy, lowest", *(f"{min(reached[kind]):.2%}" for kind in ("ours", "peer")), "", "")
    table.add("whole process", *compared(seconds["ours"], seconds["peer"]), "12")
    table.add("its imports alone", *compared(seconds["our_imports"], seconds["peer_imports"]), "")
    ours_s, peer_s = (
        seconds[kind] - seconds[f"{whose}_imports"] for kind, whose in (("ours", "our"), ("peer", "peer"))
    )
    table.add("without imports", *compared(ours_s, peer_s), "40")
    train, test = (files.count(part) for part in ("train", "t10k"))
    ours_flop = OUR_SHARE * 0.9 * train * TRAINED + (0.1 * train + test) * SEEN  # a tenth is for validation
    peer_flop = epochs * (train * TRAINED + test * SEEN)
    rates = ours_flop / ours_s, peer_flop / peer_s
    table.add("of float32 matmul", *(f"{rate / limit:.2%}" for rate in rates), "", "")
    return table


def compared(ours_s: float, peer_s: float) -> tuple[str, str, str]:
    """Format both, and how many times faster ours is."""
    return f"{ours_s:.2f}", f"{peer_s:.2f}", f"{peer_s / ours_s:.1f}"


def tutorial_curve(run: Process) -> Curve:
    """Parse the output of the tutorial's loop."""
    found = re.findall(r"^epoch \d+ (\S+) (\S+)$", run.output, re.MULTILINE)
    return [(float(seconds), float(accuracy)) for seconds, accuracy in found]


def shipped_curve(files: Files) -> Curve:
    """Train mnist_mlp as shipped, and read its validation accuracy."""
    rows = [row for row in ours.fit("mnist_mlp", *files.options).metrics if row["val/acc"]]
    seconds = accumulate(float(row["seconds"]) for row in rows)
    return [(at, float(row["val/acc"])) for at, row in zip(seconds, rows, strict=True)]


def draw(path: Path, shipped: Curve, tutorial: Curve) -> None:
    """Plot accuracy over the seconds of training."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # not needed for the tables

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for curve, label in ((shipped, "mnist_mlp, validation"), (tutorial, "tutorial's loop, test")):
        axes.plot(*zip(*curve, strict=True), marker=".", label=label)
    axes.axhline(ACCURACY, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel="seconds of training and evaluation", ylabel="accuracy", ylim=(0.8, 1))
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
