"""Train an experiment several times, with other seeds or on the folds of a cross-validation."""

import csv
import io
import os
import re
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from itertools import chain, product
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from jsonargparse.typing import PositiveInt

from lamphouse.checkpoints import load_checkpoint
from lamphouse.checkpoints.files import read_newest
from lamphouse.cli.checks.yaml_files import read_yaml
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError, StoppedError, python_command, short_path
from lamphouse.files import only_writer, user_path, write_whole
from lamphouse.loggers import MetricsTable
from lamphouse.machine.settings import allowed_cores
from lamphouse.runs.directory import Run, find_runs
from lamphouse.runs.history import has_ended
from lamphouse.runs.report import print_table, results, spread
from lamphouse.search import TrialProcess, run_trials

MOST_SEEDS = 1000


class Repetition(NamedTuple):
    """A run of several: its directory, and what it has of its own."""

    path: Path
    seed: int
    fold: int | None
    options: tuple[str, ...]


def main(project: Project, args: Sequence[str]) -> dict[str, float]:
    """Train with each seed and on each fold, print a table of the results, and return their means."""
    given, rest = _parser(project).parse_known_args(args)
    _refuse_twice(given, rest)
    experiment = Experiment(project, "fit", rest)
    (Experiment(project, "fit", [*rest, *_fold(given.folds, 0)]) if given.folds else experiment).check()
    if experiment.config.trainer.fast_dev_run:
        raise InputError("--trainer.fast_dev_run: keeps no run that could be summarized: leave it out, or use fit")
    group = _directory(experiment, given)
    repetitions = _repetitions(given, group, experiment.config.seed_everything)
    workers, options = _workers(given.workers, experiment, len(repetitions), group.name)
    with only_writer(group):
        print(f"{len(repetitions)} runs, {workers} at once, in {short_path(group)}", flush=True)
        try:
            errors = _run(project, repetitions, workers, [*rest, *options])
        except StoppedError as stop:
            stop.__notes__ = [f"to continue: {python_command('-m', project.package, 'repeat', *args)}"]
            raise
        complete = [one for one in repetitions if one.path.name not in errors]
        means = _summarize(group, complete) if complete else {}
    if errors:
        name, error = next(iter(errors.items()))
        raise InputError(f"{len(errors)} of {len(repetitions)} runs failed, {name} with: {error}")
    return means


def _parser(project: Project) -> CommandParser:
    text = "Train several times, and summarize the results; further options are those of fit."
    parser = CommandParser(project, "repeat", text, run=False)
    parser.add_argument("--seeds", type=_seeds, help='number of seeds, from 0 on, or a list such as "0 3 7"')
    parser.add_argument("--folds", type=PositiveInt, help="number of folds of a cross-validation")
    parser.add_argument("--workers", type=PositiveInt, help="runs at once (default: one per core on a CPU, else 1)")
    parser.add_argument("--runs", type=user_path, help="directory of all runs (default: runs)")
    return parser


def _seeds(text: str) -> list[int]:
    words = re.split(r"[\s,]+", text.strip())
    if not all(re.fullmatch(r"[0-9]{1,10}", word) and int(word) < 2**32 for word in words):
        raise InputError(f'{text}: expected a number of seeds, such as 5, or a list, such as "0 3 7"')
    seeds = list(range(int(words[0]))) if len(words) == 1 else [int(word) for word in words]
    if not 0 < len(seeds) <= MOST_SEEDS or len({*seeds}) < len(seeds):
        raise InputError(f"{text}: expected 1 to {MOST_SEEDS} seeds, each once")
    return seeds


def _refuse_twice(given: Namespace, rest: Sequence[str]) -> None:
    """Refuse options that the repetitions have of their own."""
    own = {"--seeds": ["--seed_everything"], "--folds": ["--data.fold", "--data.num_folds"]}
    if given.seeds is None and given.folds is None:
        raise InputError("--seeds, --folds: nothing to repeat: give one of them, such as --seeds 5")
    for option, names in own.items():
        for argument in rest:
            if getattr(given, option[2:]) is not None and argument.partition("=")[0] in names:
                raise InputError(f"{argument.partition('=')[0]}: {option} chooses it: leave one of them out")


def _directory(experiment: Experiment, given: Namespace) -> Path:
    """Return the directory of all repetitions, whose name follows from the options of the experiment."""
    options = {name: value for name, value in read_yaml(experiment.resolved()).items() if name != "runs"}
    digest = blake2b(repr(options).encode(), digest_size=3).hexdigest()
    kind = f"{given.folds}folds" if given.folds else "seeds"
    return Path(given.runs or experiment.config.runs, "repeat", f"{experiment.config.experiment}-{kind}-{digest}")


def _repetitions(given: Namespace, group: Path, seed: int) -> list[Repetition]:
    found = []
    for own, fold in product(given.seeds or [seed], range(given.folds) if given.folds else [None]):
        name = f"seed{own}" + (f"-fold{fold}" if fold is not None else "")
        options = (f"--seed_everything={own}", *_fold(given.folds, fold), f"--runs={group / name}")
        found.append(Repetition(group / name, own, fold, options))
    return found


def _fold(folds: int, fold: int | None) -> list[str]:
    return [f"--data.num_folds={folds}", f"--data.fold={fold}"] if fold is not None else []


def _workers(given: int | None, experiment: Experiment, count: int, name: str) -> tuple[int, list[str]]:
    """Return how many runs to train at once, and the options with which they share the machine."""
    config, options = experiment.config, []
    if config.logger == "wandb" and not (config.logger_options.get("group") or os.environ.get("WANDB_RUN_GROUP")):
        options.append(f"--logger_options.group={name}")
    if experiment.device != "cpu":
        return given or 1, options
    cores, threads = max(1, allowed_cores() // experiment.trainer.world_size), config.machine.threads
    workers = min(given or max(1, cores // (threads or 1)), count)
    return workers, [*options, *([] if threads else [f"--machine.threads={max(1, cores // workers)}"])]


def _run(project: Project, repetitions: Sequence[Repetition], workers: int, options: Sequence[str]) -> dict[str, str]:
    """Train what is not complete yet, and return the errors of those that failed by their names."""
    waiting, active, errors = list(repetitions), list[TrialProcess](), dict[str, str]()

    def fill() -> bool:
        begun = waiting[: workers - len(active)]
        del waiting[: len(begun)]
        for one in begun:
            active.append(TrialProcess(one.path, partial(command_of, project, one.path, [*options, *one.options])))
        return bool(begun)

    def told(trial: TrialProcess) -> None:
        if trial.status:
            errors[trial.directory.name] = trial.error()
        ended = "is complete" if trial.process else "was complete already"
        print(f"{trial.directory.name} {f'failed: {trial.error()}' if trial.status else ended}", flush=True)

    run_trials(active, fill, told)
    return errors


def command_of(project: Project, directory: Path, options: Sequence[str]) -> list[str] | None:
    """Return the command that begins the run in a directory, or goes on with it; None if that is complete."""
    program = [sys.executable, "-m", project.package]
    for run in [Run(config.parent) for config in directory.glob("*/*/config.yaml")]:
        newest = read_newest(run.path)
        if newest is None and not run.metrics.exists():
            shutil.rmtree(run.path)  # nothing has been trained
        elif (newest is None or newest.content.get("finished")) and has_ended(run, newest and newest.content):
            return None
        else:
            return [*program, "resume", "--run", str(run.path)]
    return [*program, "fit", *options]


def _summarize(group: Path, repetitions: Sequence[Repetition]) -> dict[str, float]:
    """Print the metrics of runs with their mean and standard deviation, write them to summary.csv, return the means."""
    metrics = {one: _results(one.path) for one in repetitions}
    names = dict.fromkeys(chain(*metrics.values()))
    values = {name: [of[name] for of in metrics.values() if name in of] for name in names}
    shown = ([f"{of[name]:.4f}" if name in of else "-" for name in names] for of in metrics.values())
    lines = [[one.path.name, *cells] for one, cells in zip(metrics, shown, strict=True)]
    print_table(["run", *values], [*lines, ["mean ± std", *map(spread, values.values())]])
    means = {name: mean(of) for name, of in values.items()}
    stds = {name: stdev(of) for name, of in values.items() if len(of) > 1}
    rows = [{"run": one.path.name, "seed": one.seed, "fold": one.fold, **of} for one, of in metrics.items()]
    text = io.StringIO()
    table = csv.DictWriter(text, ["run", "seed", "fold", *values], lineterminator="\n")
    table.writeheader()
    table.writerows([*rows, {"run": "mean", **means}, {"run": "std", **stds}])
    write_whole(group / "summary.csv", text.getvalue())
    print(f"\nwritten to {short_path(group / 'summary.csv')}")
    return means


def _results(directory: Path) -> dict[str, float]:
    run = find_runs(directory)[-1]
    best = load_checkpoint(run.best, weights=False) if run.best.exists() else None
    metrics = results(MetricsTable(run.metrics).rows, best)
    return {name: value for name, value in metrics.items() if not name.startswith("train")}
