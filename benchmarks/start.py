"""The whole process of a fit of one step: how long a user waits before training starts.

It is limited by the imports of torch and Lightning, which are measured beside it, not by arithmetic.
"""

from collections.abc import Iterator
from functools import partial
from statistics import median

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, interleaved, python
from benchmarks.tables import Table, compared

STOCK = ROOT / "benchmarks" / "peers" / "stock_cli.py"
DIGITS = ROOT / "src" / "arc_light" / "data" / "digits.npz"
ONE_STEP = ("--trainer.max_steps", 1)
IMPORTS = "from lightning.pytorch.cli import LightningCLI"


def tables(options: Options) -> Iterator[Table]:
    """Compare with stock LightningCLI, which does not run a test afterwards."""
    runs = interleaved(
        options.repeats,
        ours=partial(ours.fit, "digits_mlp", *ONE_STEP),
        peer=partial(python, STOCK, DIGITS, "fit", *ONE_STEP),
        our_imports=ours.imports,
        peer_imports=partial(python, "-c", IMPORTS),
        help=ours.show_help,
        train=partial(ours.fit, "digits_mlp"),
    )
    seconds = {kind: median(run.seconds for run in runs[kind]) for kind in runs}
    table = Table(
        "Start: seconds of the whole process", ["", "ours", "LightningCLI", "ratio", "limit", "share of imports"]
    )
    imports = f"{seconds['our_imports'] / seconds['ours']:.0%}"
    table.add(
        "fit of one step, digits, CSV logger", *compared(seconds["ours"], seconds["peer"], ".2f"), "0.45", imports
    )
    table.add("its imports alone", *compared(seconds["our_imports"], seconds["peer_imports"], ".2f"), "", "")
    table.add("--help", f"{seconds['help']:.2f}", "", "", "0.10 s", "")
    yield table
    table = Table("make train: seconds of the whole process, 20 epochs and a test", ["", "s", "ratio", "limit"])
    table.add("its imports alone", f"{seconds['our_imports']:.2f}", "1.00", "")
    table.add("digits_mlp", f"{seconds['train']:.2f}", f"{seconds['train'] / seconds['our_imports']:.2f}", "1.6")
    yield table
