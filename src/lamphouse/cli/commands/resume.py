"""Continue a run."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamphouse.checkpoints.files import read_newest
from lamphouse.cli import strict_yaml
from lamphouse.cli.commands.fit import check, train
from lamphouse.cli.commands.options import OptionParser, run_and_rest
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.errors import InputError

KEPT = (  # as the run was begun
    "model",
    "data",
    "seed_everything",
    "ema",
    "loop",  # [part:loops]
)
GOALS = ("max_epochs", "max_steps", "max_time", "min_epochs", "min_steps")


def main(project: Project, args: Sequence[str]) -> None:
    """Train on from a run's newest checkpoint, in its own directory, or do what is left after that.

    Raises:
        InputError: there is no such run or checkpoint, nothing is left to do, or what is trained would change.
    """
    parser = OptionParser(
        project, "resume", "Continue a run; further options are those of fit, such as --trainer.max_epochs 30."
    )
    _, run, rest = run_and_rest(parser, args)
    experiment = Experiment(project, "resume", ["-c", str(run.config), *rest], where=lambda _: run)
    before, after = strict_yaml.read(run.config.read_text()), strict_yaml.read(experiment.resolved())
    for part in KEPT:
        if after.get(part) != before.get(part):
            raise InputError(f"--{part}: a run is resumed as it was begun: use fit for a new one")
    path, checkpoint = newest(experiment)
    if path:
        see_what_is_left(experiment, checkpoint, goals(after) != goals(before))
        experiment.check_weights(checkpoint, path)
    experiment.load_data()
    check(experiment)
    experiment.table.keep_before(checkpoint["epoch"] if path else 0)
    train(experiment, str(path) if path else None)


def newest(experiment: Experiment) -> tuple[Path | None, Mapping[str, Any]]:
    """Read the newest checkpoint that is not damaged; there is none yet where a run was killed at its very beginning.

    Raises:
        InputError: none can be read.
    """
    newest = read_newest(experiment.run.path)
    if newest is None and experiment.table.rows:
        raise InputError(f"{experiment.run.last}: no such checkpoint: train first, or give another run")
    if newest is None:
        return None, {}
    if newest.damaged and experiment.config.loop == "handwritten":  # ExactResume says it for the others
        print(f"{newest.damaged}: resuming from {newest.path.name}", file=sys.stderr)
    return newest.path, newest.content


def see_what_is_left(experiment: Experiment, checkpoint: Mapping[str, Any], new_goals: bool) -> None:
    """See whether there is something to train, or nothing but the test.

    Raises:
        InputError: there is neither.
    """
    done, epochs = checkpoint["epoch"], experiment.trainer.max_epochs
    complete = checkpoint.get("finished") and not new_goals
    if complete and not any(row.get("test/loss") for row in experiment.table.rows):
        experiment.only_test()
    elif epochs is not None and 0 <= epochs <= done:
        way_out = "give a larger number"
        raise InputError(f"--trainer.max_epochs {epochs}: the run has trained {done} epochs already: {way_out}")
    elif complete:
        way_out = "give a larger --early_stopping.patience or --trainer.max_epochs"
        raise InputError(f"{experiment.run.path}: the run is complete, it stopped after {done} epochs: {way_out}")


def goals(config: Mapping[str, Any]) -> Any:
    """Select the options that say when training is to end."""
    return [config["trainer"][name] for name in GOALS], config["early_stopping"]
