"""Many short epochs: what an epoch costs beside its training must not grow with their number."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from statistics import median

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import interleaved
from benchmarks.tables import Table

SHORT = (
    *("--trainer.limit_train_batches", 1, "--trainer.limit_val_batches", 1),
    *("--model.lr_scheduler", "null", "--early_stopping.patience", 10**6),
)
COLUMNS = ["", "ms", "ms of CPU time", "ratio of CPU time", "limit"]
LIMIT = "1.1"


def tables(options: Options) -> Iterator[Table]:
    """Compare the first half of the epochs with the second."""
    half = 5 if options.quick else 2_500
    counts = (1, half + 1, 2 * half + 1)
    fits = {str(n): partial(ours.fit, "digits_mlp", *SHORT, "--trainer.max_epochs", n) for n in counts}
    runs = interleaved(options.repeats, **fits)
    table = Table("Many epochs: milliseconds an epoch of one step, with its row and checkpoints", COLUMNS)
    figures = []
    for kind in ("seconds", "cpu_seconds"):
        totals = [median(getattr(run, kind) for run in runs[str(n)]) for n in counts]
        figures.append([(after - before) / half * 1e3 for before, after in pairwise(totals)])
    ratios = [cpu / figures[1][0] for cpu in figures[1]]
    for name, *row in zip((f"epochs 1..{half}", f"epochs {half + 1}..{2 * half}"), *figures, ratios, strict=True):
        table.add(name, *(f"{figure:.2f}" for figure in row), LIMIT)
    yield table
