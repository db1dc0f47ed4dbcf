"""Peak memory of a run, against Lightning's on the same data."""

from collections.abc import Iterator
from functools import partial

from benchmarks import ours
from benchmarks.mnist_files import mnist_files
from benchmarks.options import Options
from benchmarks.ours_data import peak_mib
from benchmarks.processes import ROOT, interleaved, python
from benchmarks.tables import Table

STOCK = ROOT / "benchmarks" / "peers" / "stock_mnist.py"


def tables(options: Options) -> Iterator[Table]:
    """Train an epoch with both, with shared libraries counted in."""
    with mnist_files(options) as files:
        runs = interleaved(
            options.repeats,
            ours=partial(ours.fit, "mnist_mlp", *files.options, "--trainer.max_epochs", 1),
            peer=partial(python, STOCK, files.folder, 1),
            our_imports=ours.imports,
        )
        size = sum(path.stat().st_size for path in (files.folder / "MNIST" / "raw").glob("*-ubyte")) / 2**20
    found = {kind: peak_mib(runs[kind]) for kind in runs}
    table = Table(f"Peak memory of a whole process, MiB, {files.name}", ["", "ours", "Lightning", "ratio"])
    table.add(
        "one epoch", *(f"{found[kind]:,.0f}" for kind in ("ours", "peer")), f"{found['ours'] / found['peer']:.2f}"
    )
    table.add("the imports alone", f"{found['our_imports']:,.0f}", "", "")
    table.add("the files of the data", f"{size:,.0f}", f"{size:,.0f}", "")
    yield table
