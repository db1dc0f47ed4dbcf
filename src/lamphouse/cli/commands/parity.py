"""Run the three loops on an experiment and compare what they computed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.cli.commands.fit import run_loop
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.errors import InputError, StoppedError
from lamphouse.loops import Outcome, record, table, verdict
from lamphouse.runs.directory import Run

DETERMINISTIC = ("--trainer.deterministic", "true")
QUIET = ("--trainer.logger", "false", "--trainer.enable_progress_bar", "false")


def main(project: Project, args: Sequence[str]) -> None:
    """Train the experiment by each loop, from the same seed, and print a table; exit with 1 where the loops differ."""
    if not project.loops:
        raise InputError(f"{project.package}.loops: there is no other loop to compare with Trainer.fit")
    for option in args:
        if option.partition("=")[0] == "--loop":
            raise InputError(f"{option}: parity runs every loop: leave it out")
    outcomes = [outcome for loop in project.loops if (outcome := _outcome_if_supported(project, loop, args))]
    if not outcomes:
        raise InputError("only Trainer.fit trains this, so that there is nothing to compare: train it with fit")
    outcomes.append(_outcome(project, "automatic", args))
    same, text = verdict(outcomes)
    print(f"\n{table(outcomes)}\n\n{text}")
    if not same:
        raise SystemExit(1)


def _outcome_if_supported(project: Project, loop: str, args: Sequence[str]) -> Outcome | None:
    try:
        return _outcome(project, loop, args)
    except InputError as error:
        if error.not_in_this_loop is None:
            raise
        print(f"the {loop} loop is left out: {error.not_in_this_loop}", file=sys.stderr, flush=True)
        return None


def _outcome(project: Project, loop: str, args: Sequence[str]) -> Outcome:
    print(f"training with the {loop} loop", file=sys.stderr, flush=True)
    with TemporaryDirectory() as folder:
        run, options = Run(Path(folder)), [*DETERMINISTIC, *args, *QUIET, "--loop", loop]
        experiment = Experiment(project, "parity", options, where=lambda _: run)
        experiment.check()
        trace = record(experiment.model)
        try:
            run_loop(experiment)
        except StoppedError as stop:  # nothing is kept that could be resumed
            raise KeyboardInterrupt from stop
        last = load_checkpoint(run.last)["state_dict"]
        best = load_checkpoint(run.best)["state_dict"] if run.best.exists() else {}
    return Outcome(loop, trace, last, best, experiment.table.rows)
