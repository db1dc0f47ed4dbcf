"""Continue a run."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lamphouse.checkpoints.files import read_newest
from lamphouse.cli.checks.yaml_files import read_yaml
from lamphouse.cli.commands.fit import train
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError

PLACES = ("data_dir", "root", "cache_dir", "num_workers", "on_device")  # of data, which change no bit
UNCHANGED = ("model", "data", "seed_everything", "ema", "loop")  # options that a resumed run keeps
GOALS = ("max_epochs", "max_steps", "max_time", "min_epochs", "min_steps")  # of the Trainer


def main(project: Project, args: Sequence[str]) -> dict[str, float]:
    """Continue training from a run's newest checkpoint, in its own directory; if training is complete, only test."""
    description = "Continue a run; further options are those of fit, such as --trainer.max_epochs 30."
    _, run, rest = CommandParser(project, "resume", description).parse_run(args)
    experiment = Experiment(project, "resume", ["-c", str(run.config), *rest], where=lambda _: run)
    before, after = read_yaml(run.config.read_text(encoding="utf-8")), read_yaml(experiment.resolved())
    for data in (before["data"], after["data"]):
        data["init_args"] = {k: v for k, v in (data.get("init_args") or {}).items() if k not in PLACES}
    for option in UNCHANGED:
        if after.get(option) != before.get(option):
            raise InputError(f"--{option}: cannot be changed when a run is resumed: start a new one with fit")
    newest = read_newest(run.path)
    if newest is None and experiment.table.rows:
        raise InputError(f"{run.last}: no such checkpoint: use fit for a new run")
    if newest is not None:
        if newest.damaged and experiment.config.loop == "handwritten":  # ExactResume prints it in the other loops
            print(f"{newest.damaged}: resuming from {newest.path.name}", file=sys.stderr)
        _check_what_is_left(experiment, newest.content, _goals(after) != _goals(before))
        experiment.check_weights(newest.content, newest.path)
    experiment.check()
    experiment.table.keep_before(*(newest.content[name] for name in ("epoch", "global_step")) if newest else (0,))
    return train(experiment, str(newest.path) if newest else None)


def _check_what_is_left(experiment: Experiment, checkpoint: Mapping[str, Any], new_goals: bool) -> None:
    done, epochs = checkpoint["epoch"], experiment.trainer.max_epochs
    complete = checkpoint.get("finished") and not new_goals
    if complete and not any(row.get("test/loss") for row in experiment.table.rows):
        experiment.config_init.last_checkpoint.complete = True  # only the test is left
    elif epochs is not None and 0 <= epochs <= done:
        way_out = "give a larger number"
        raise InputError(f"--trainer.max_epochs {epochs}: the run has trained {done} epochs already: {way_out}")
    elif complete:
        way_out = "give a larger --early_stopping.patience or --trainer.max_epochs"
        raise InputError(f"{experiment.run.path}: the run is complete, it stopped after {done} epochs: {way_out}")


def _goals(config: Mapping[str, Any]) -> Any:
    return [config["trainer"][name] for name in GOALS], config["early_stopping"]
