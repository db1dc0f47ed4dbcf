"""Many runs in a directory: finding the newest, and comparing all of them."""

import gc
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from os import devnull
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import interleaved, python
from benchmarks.tables import Table

COUNTS, QUICK_COUNTS = (10, 100, 1_000), (2, 4)
LIMIT = "1.2"


def tables(options: Options) -> Iterator[Table]:
    """Copy a run many times; what a run costs must not grow with their number."""
    columns = ["runs", "find, ms of CPU time", "compare, ms of CPU time for a run", "times the first", "limit"]
    table = Table("Many runs: the newest in a directory, and all of them compared", columns)
    with TemporaryDirectory() as folder:
        ours.fit("digits_mlp", "--runs", folder, "--trainer.max_epochs", 3)
        counts = QUICK_COUNTS if options.quick else COUNTS
        kinds = {str(count): partial(python, "-m", "benchmarks.many_runs", folder, count) for count in counts}
        runs = interleaved(options.repeats, **kinds)
    each: list[float] = []
    for count in counts:
        found = [[float(one) for one in run.output.split()[-2:]] for run in runs[str(count)]]
        find, compare = (min(values) for values in zip(*found, strict=True))
        each.append(compare / count)
        table.add(f"{count:,}", f"{find:.2f}", f"{each[-1]:.2f}", f"{each[-1] / each[0]:.2f}", LIMIT)
    yield table


def measure(folder: str, count: int) -> None:
    """Print the milliseconds that finding the newest of so many copies of a run takes, and comparing all."""
    from lamphouse.cli import main  # noqa: PLC0415  # this is the child process, which imports torch
    from lamphouse.runs.directory import find_run  # noqa: PLC0415  # in the child process only

    (one,) = Path(folder).glob("*/*")
    for i in range(count):
        copy = Path("runs", f"20260101-{i:06}-000000")
        shutil.copytree(one, copy)
        config = (one / "config.yaml").read_text().replace("seed_everything: 42", f"seed_everything: {i}")
        (copy / "config.yaml").write_text(config)
    with redirect_stdout(Path(devnull).open("w", encoding="utf-8")):
        main("arc_light", ["compare", "runs"])  # imports what it needs
        gc.collect()  # or it may take place while the newest is found, and take ten times as long
        start = process_time()
        find_run(Path("runs"))
        found = process_time()
        main("arc_light", ["compare", *map(str, Path("runs").iterdir())])
    print(1000 * (found - start), 1000 * (process_time() - found))


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
