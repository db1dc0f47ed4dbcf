"""Peak memory of a run, against Lightning's on the same data."""

from collections.abc import Iterator
from functools import partial

from benchmarks import ours
from benchmarks.mnist_files import mnist_files
from benchmarks.options import Options
from benchmarks.ours_data import peak_mib
from benchmarks.processes import ROOT, interleaved, python
from benchmarks.tables import Table, compared

IMPORTS = "import torch, lightning, torchmetrics.classification; from torchvision import datasets"
STOCK = ROOT / "benchmarks" / "peers" / "stock_mnist.py"


def tables(options: Options) -> Iterator[Table]:
    """Train an epoch with both; shared libraries count."""
    with mnist_files(options) as files:
        runs = interleaved(
            options.repeats,
            ours=partial(ours.fit, "mnist_mlp", *files.options, "--trainer.max_epochs", 1),
            peer=partial(python, STOCK, files.folder, 1),
            our_imports=partial(ours.imports, ours.MNIST),
            peer_imports=partial(python, "-c", IMPORTS),
        )
        size = sum(path.stat().st_size for path in (files.folder / "MNIST" / "raw").glob("*-ubyte")) / 2**20
    found = {kind: peak_mib(runs[kind]) for kind in runs}
    # nothing, if the parent of both uses more memory than they do
    above = {kind: found[kind] - found[f"{whose}_imports"] for kind, whose in (("ours", "our"), ("peer", "peer"))}
    table = Table(f"Peak memory of a whole process, MiB, {files.name}", ["", "ours", "Lightning", "ratio", "limit"])
    table.add("one epoch", *compared(found["ours"], found["peer"], ",.0f"), "0.60")
    table.add("the imports alone", *compared(found["our_imports"], found["peer_imports"], ",.0f"), "")
    table.add("above the imports", *compared(above["ours"], above["peer"], ",.0f"), "")
    table.add("the data files", f"{size:,.0f}", f"{size:,.0f}", "", "")
    table.add("times the data files", *(f"{above[kind] / size:.1f}" for kind in ("ours", "peer")), "", "")
    yield table
