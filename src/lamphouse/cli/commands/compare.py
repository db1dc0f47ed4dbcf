"""Compare runs: the options in which they differ, results with mean and deviation over seeds, and curves."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lamphouse.checkpoints import load_checkpoint
from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.experiment import LINKED
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError, short_path
from lamphouse.files import user_path, write_whole
from lamphouse.loggers import MetricsTable
from lamphouse.pages import overlay_figures, render_comparison
from lamphouse.runs.directory import Run, find_runs
from lamphouse.runs.options import named_options
from lamphouse.runs.report import epoch_rows, print_table, results, spread

NEWEST = 10  # runs of those in a directory
LONGEST_LABEL = 40  # letters of a legend
SEEDS = ("seed_everything", "data.seed")  # options that make no other experiment, and neither does the fold
FOLD = ("data.fold",)
DECIDED = [f"model.{name}" for name in LINKED]  # by the data
NO_OPTIONS = ("runs", "logger", "logger_options", "gradient_norms", "pictures", "experiment")  # that change no result


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
    if options.output.is_dir() or not options.output.absolute().parent.is_dir():
        raise InputError(f"--output {options.output}: not a file in a directory that is there: choose another one")
    found = {run.path.resolve(): run for path in options.runs for run in find_runs(path)[-NEWEST:]}  # each once
    runs = [_read(run) for run in found.values()]
    differing = _differing(runs)
    groups = defaultdict(list)
    for one in runs:
        groups[tuple(_shown(one.options.get(name)) for name in differing)].append(one)
    header, lines = _table(differing, groups)
    print_table(header, lines)
    labels = {_label(differing, values, group): [one.rows for one in group] for values, group in groups.items()}
    write_whole(options.output, render_comparison("Comparison of runs", header, lines, [*overlay_figures(labels)]))
    print(f"\nwritten to {short_path(options.output)}")


def _read(run: Run) -> Compared:
    rows = MetricsTable(run.metrics).rows
    epochs = epoch_rows(rows)
    if not epochs:
        raise InputError(f"{run.path}: no epoch yet: leave the run out, or resume it")
    best = load_checkpoint(run.best, weights=False) if run.best.exists() else None
    metrics = {name: value for name, value in results(rows, best).items() if name.startswith(("val/", "test/"))}
    options = {name: value for name, value in named_options(read_file(run.config)) if name not in NO_OPTIONS}
    return Compared(run, options, metrics, epochs)


def _differing(runs: Sequence[Compared]) -> list[str]:
    """Name the options in which runs differ, but for the seed; of those of another class, the class tells."""
    differing: list[str] = []
    for name in dict.fromkeys(name for one in runs for name in one.options):
        values = {repr(one.options.get(name)) for one in runs}
        everywhere = all(name in one.options for one in runs)
        told = any(name.startswith(f"{other}.") for other in differing)
        if name not in (*SEEDS, *FOLD, *DECIDED) and len(values) > 1 and (everywhere or not told):
            differing.append(name)
    return differing


def _table(
    differing: Sequence[str], groups: Mapping[tuple[str, ...], Sequence[Compared]]
) -> tuple[list[str], list[list[str]]]:
    """Return a header, and a line for each set of options: runs that differ in the seed alone share one."""
    metrics = list(dict.fromkeys(name for group in groups.values() for one in group for name in one.metrics))
    lines = [[_named(group), *values, *(_spread(group, m) for m in metrics)] for values, group in groups.items()]
    return ["runs", *differing, *metrics], lines


def _label(differing: Sequence[str], values: Sequence[str], group: Sequence[Compared]) -> str:
    told = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in zip(differing, values, strict=True))
    return told if 0 < len(told) <= LONGEST_LABEL else _named(group) if len(group) == 1 else group[0].run.name


def _shown(value: Any) -> str:
    is_class = isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", value)
    return "-" if value is None else value.rpartition(".")[2] if is_class else str(value)


def _named(group: Sequence[Compared]) -> str:
    kinds = {"folds": FOLD, "seeds": SEEDS}
    values = {kind: {repr([one.options.get(name) for name in kinds[kind]]) for one in group} for kind in kinds}
    kind = next((kind for kind in kinds if len(values[kind]) == len(group)), "runs")
    return group[0].run.name if len(group) == 1 else f"{len(group)} {kind}"


def _spread(group: Sequence[Compared], metric: str) -> str:
    values = [one.metrics[metric] for one in group if metric in one.metrics]
    return spread(values) if values else "-"
