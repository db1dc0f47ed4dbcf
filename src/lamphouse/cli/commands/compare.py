"""Compare runs: the options in which they differ, results with mean and deviation over seeds, and curves."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from lamphouse.checkpoints import load_checkpoint
from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError, short_path
from lamphouse.files import user_path, write_whole
from lamphouse.loggers import MetricsTable
from lamphouse.pages import overlay_figures, render_comparison
from lamphouse.runs.directory import Run, find_runs
from lamphouse.runs.options import named_options
from lamphouse.runs.report import best_row

NEWEST = 10  # runs of those in a directory
SEEDS = ("seed_everything", "data.seed")  # options that make no other experiment
NO_OPTIONS = ("runs", "logger", "logger_options", "experiment")  # that change no result


class Compared(NamedTuple):
    """A run: its options by name, its metrics, and its rows of epochs."""

    run: Run
    options: Mapping[str, Any]
    metrics: Mapping[str, float]
    rows: Sequence[Mapping[str, Any]]


def main(project: Project, args: Sequence[str]) -> None:
    """Print a table of runs, and write it with their curves to a page."""
    parser = CommandParser(project, "compare", main.__doc__, run=False)
    parser.add_argument(
        "runs", nargs="+", type=user_path, help=f"directories of runs, or of several: the newest {NEWEST}"
    )
    parser.add_argument(
        "--output", type=user_path, default=Path("compare.html"), help="the page (default: compare.html)"
    )
    options = parser.parse_args(args)
    runs = [_read(run) for path in options.runs for run in find_runs(path)[-NEWEST:]]
    header, lines = _table(runs)
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    for line in (header, *lines):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    figures = overlay_figures({one.run.name: one.rows for one in runs})
    write_whole(options.output, render_comparison("Comparison of runs", header, lines, [*figures]))
    print(f"\nwritten to {short_path(options.output)}")


def _read(run: Run) -> Compared:
    rows = MetricsTable(run.metrics).rows
    epochs = [row for row in rows if not any(name.startswith("test/") for name in row)]
    if not epochs:
        raise InputError(f"{run.path}: no epoch yet: leave the run out, or resume it")
    best = load_checkpoint(run.best) if run.best.exists() else None
    reached = {**best_row(rows, best), **rows[-1]}
    metrics = {name: float(reached[name]) for name in reached if name.startswith(("val/", "test/"))}
    options = {name: value for name, value in named_options(read_file(run.config)) if name not in NO_OPTIONS}
    return Compared(run, options, metrics, epochs)


def _table(runs: Sequence[Compared]) -> tuple[list[str], list[list[str]]]:
    """Return a header, and a line for each set of options: runs that differ in the seed alone share one."""
    shared = [name for name in runs[0].options if name not in SEEDS and all(name in one.options for one in runs)]
    differing = [name for name in shared if len({repr(one.options[name]) for one in runs}) > 1]
    metrics = list(dict.fromkeys(name for one in runs for name in one.metrics))
    groups = defaultdict(list)
    for one in runs:
        groups[tuple(_shown(one.options[name]) for name in differing)].append(one)
    header = ["runs", *differing, *metrics]
    return header, [[_named(group), *values, *(_spread(group, m) for m in metrics)] for values, group in groups.items()]


def _shown(value: Any) -> str:
    is_class = isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", value)
    return "-" if value is None else value.rpartition(".")[2] if is_class else str(value)


def _named(group: Sequence[Compared]) -> str:
    return group[0].run.name if len(group) == 1 else f"{len(group)} seeds"


def _spread(group: Sequence[Compared], metric: str) -> str:
    values = [one.metrics[metric] for one in group if metric in one.metrics]
    if not values:
        return "-"
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")
