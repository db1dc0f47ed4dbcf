"""The whole process of a fit of one step: what a user waits for before anything is learned."""

from collections.abc import Iterator
from functools import partial
from statistics import median

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, interleaved, python
from benchmarks.tables import Table

STOCK = ROOT / "benchmarks" / "peers" / "stock_cli.py"
DIGITS = ROOT / "src" / "arc_light" / "data" / "digits.npz"
ONE_STEP = ("--trainer.max_steps", 1)


def tables(options: Options) -> Iterator[Table]:
    """Compare with LightningCLI as it comes, which does not test what it has trained."""
    runs = interleaved(
        options.repeats,
        ours=partial(ours.fit, "digits_mlp", *ONE_STEP),
        peer=partial(python, STOCK, DIGITS, "fit", *ONE_STEP),
        help=ours.show_help,
    )
    ours_s, peer_s, help_s = (median(run.seconds for run in runs[kind]) for kind in ("ours", "peer", "help"))
    table = Table("Start: seconds of the whole process", ["", "ours", "LightningCLI", "ratio"])
    table.add("fit of one step, digits, CSV logger", f"{ours_s:.2f}", f"{peer_s:.2f}", f"{ours_s / peer_s:.2f}")
    table.add("--help", f"{help_s:.2f}", "", "")
    yield table
