"""Continue a run."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pkgutil import resolve_name
from shlex import quote
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from lamphouse.checkpoints.files import Newest, load_checkpoint, read_newest
from lamphouse.checkpoints.stopping import after, goals, limit_reached, seconds_trained
from lamphouse.cli.checks.yaml_files import read_yaml
from lamphouse.cli.commands.fit import train
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError, short_path
from lamphouse.files import only_writer
from lamphouse.optim.schedules import RunLengthLR
from lamphouse.runs.directory import Run, check_entries
from lamphouse.runs.history import check_data, has_ended
from lamphouse.runs.options import named_options
from lamphouse.runs.report import lacks

LIMITS = ("max_epochs", "max_steps", "max_time", "min_epochs", "min_steps")  # options of the Trainer
SHOWN = ("detect_anomaly", "enable_model_summary", "enable_progress_bar", "log_every_n_steps", "profiler")
WHERE = ("accelerator", "devices", "num_nodes")
MAY_CHANGE = (  # options, with all below them, that do not change what a run computes from one step to the next
    *(f"trainer.{name}" for name in (*LIMITS, *WHERE, *SHOWN)),
    *("early_stopping", "stop_early", "last_checkpoint", "check_finite"),
    *("logger", "logger_options", "gradient_norms", "pictures"),
    *("machine.allocator", "machine.threads"),
)
OF_A_STEP = ("data.batch_size", "trainer.accumulate_grad_batches")  # which another number of processes divide anew
PLACES = re.compile(  # options of data that say where it lies, or how it is fetched
    r"data\.((\w+_)?(dir|file|folder|path|root)|shards|num_workers|on_device|persistent_workers|pin_memory|prefetch_factor)"
)


def main(project: Project, args: Sequence[str]) -> dict[str, float]:
    """Continue training from a run's newest checkpoint, in its own directory; if training is complete, only test."""
    description = "Continue a run; further options are those of fit, such as --trainer.max_epochs 30."
    _, run, rest = CommandParser(project, "resume", description).parse_run(args)
    return go_on(project, run, rest)


def go_on(project: Project, run: Run, rest: Sequence[str]) -> dict[str, float]:
    """Continue a run, with further options."""
    check_entries(run)
    with only_writer(run.path):
        return _resume(project, run, rest)


def go_on_again(project: Project, run: Run) -> dict[str, float]:
    """Continue a run that this job has begun before it was started again, unless it is complete."""
    newest = read_newest(run.path, partial(load_checkpoint, weights=False))
    if newest and newest.content.get("finished") and has_ended(run, newest.content):
        rank_zero_only(print)(f"{short_path(run.path)}: complete, trained by this job before it was started again")
        return {}
    return go_on(project, run, [])


def _resume(project: Project, run: Run, options: Sequence[str]) -> dict[str, float]:
    experiment = Experiment(project, "resume", ["-c", str(run.config), *options], where=lambda _: run)
    newest = read_newest(run.path, partial(load_checkpoint, weights=False))
    processes = len(newest.content.get("processes", [])) if newest else 0
    resized = processes not in {0, experiment.trainer.world_size}
    changed = _changed(experiment, run, (*MAY_CHANGE, *OF_A_STEP) if resized else MAY_CHANGE)
    if newest is None and experiment.table.rows:
        raise InputError(f"{run.last}: no such checkpoint: use fit for a new run")
    if newest is not None:
        if newest.damaged and experiment.config.loop == "handwritten":  # ExactResume prints it in the other loops
            print(f"{newest.damaged}: resuming from {newest.path.name}", file=sys.stderr)
        _check_what_is_left(experiment, newest.content)
        experiment.check_weights(newest.content, newest.path)
        _check_best(run)
    experiment.check()
    check_data(run, experiment.datamodule)
    project.job.wait_for_first()
    _print_notes(experiment, newest, changed)
    experiment.table.keep_before(*(newest.content[name] for name in ("epoch", "global_step")) if newest else (0,))
    return train(experiment, newest, changed)


def _changed(experiment: Experiment, run: Run, may_change: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the values before and now of options that differ from the run's; refuse those that may not."""
    before = dict(named_options(read_yaml(run.config.read_text(encoding="utf-8"))))
    for name, value in named_options(experiment.parser.get_defaults().as_dict()):
        if not any(f"{known}.".startswith(f"{name}.") for known in before):  # an option that the run did not know yet
            before[name] = value
    now = dict(named_options(read_yaml(experiment.resolved())))
    both = ((name, [before.get(name), now.get(name)]) for name in {**before, **now} if name != "runs")
    changed = {name: [value, new] for name, (value, new) in both if value != new}
    for name, (value, new) in changed.items():
        if not f"{name}.".startswith(tuple(f"{option}." for option in may_change)) and not PLACES.fullmatch(name):
            reason = f"was {json.dumps(value)}, and decides what a run computes: leave it out"
            way_out = f"start another run: {experiment.project.program} fit -c {quote(short_path(run.config))}"
            raise InputError(f"--{name} {json.dumps(new)}: {reason}, or {way_out}")
    return {f"--{name}": values for name, values in changed.items()}


def _check_what_is_left(experiment: Experiment, checkpoint: Mapping[str, Any]) -> None:
    trainer, done, steps = experiment.trainer, checkpoint["epoch"], checkpoint["global_step"]
    seconds = seconds_trained(checkpoint)
    complete = checkpoint.get("finished") and checkpoint.get("goals") == goals(trainer)
    untestable = lacks("test", experiment.model, experiment.datamodule)
    tested = any(name.startswith("test") for row in experiment.table.rows for name in row)
    if complete and not ((untestable or tested) and has_ended(experiment.run, checkpoint)):
        experiment.config_init.last_checkpoint.complete = True  # only the test is left, or what follows it
        return
    if limit := limit_reached(trainer, done, steps, seconds):
        had = {"max_epochs": f"trained {done} epochs", "max_steps": f"taken {steps} steps"}
        reason = f"the run has {had.get(limit, f'trained for {seconds:.0f} s')} already"
        raise InputError(f"--trainer.{limit} {experiment.config.trainer[limit]}: {reason}: give a larger number")
    reached = "hreshold reached" in str(checkpoint.get("ended"))  # which it would be again
    if reached and checkpoint["goals"]["early_stopping"] == goals(trainer)["early_stopping"]:
        way_out = "give --stop_early false, or another threshold"
        raise InputError(f"{experiment.run.path}: the run ended {checkpoint['ended']}: {way_out}")
    if complete:
        way_out = "give a larger --trainer.max_epochs or --early_stopping.patience, or --stop_early false"
        raise InputError(f"{experiment.run.path}: the run is complete, it ended {checkpoint.get('ended')}: {way_out}")
    if any("total_steps" in state for state in checkpoint["lr_schedulers"] or ()):
        _check_steps(experiment, checkpoint)


def _check_steps(experiment: Experiment, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to go on with a schedule of torch's that knows the number of the run's steps, if that is another now."""
    if checkpoint.get("finished"):
        raise InputError("--model.lr_scheduler: its steps are used up: start another run with fit")
    before = checkpoint.get("callbacks", {}).get("GlobalBatch", {}).get("samples")
    together = experiment.trainer.world_size * experiment.config.trainer.accumulate_grad_batches
    samples = getattr(experiment.datamodule, "batch_size", 0) * together
    if before and samples not in {0, before}:
        size, rest = divmod(before, together)
        way_out = f"choose sizes whose product is {before}" if rest else f"give --data.batch_size {size}"
        reason = f"the schedule's steps are of {before} samples, not {samples}"
        raise InputError(f"--trainer.devices {experiment.trainer.world_size}: {reason}: {way_out}")


def _check_best(run: Run) -> None:
    try:
        if os.path.lexists(run.best):
            load_checkpoint(run.best, weights=False)
    except InputError as error:
        way_out = "delete it to keep the best of the epochs to come"
        raise InputError(f"{str(error).rpartition(': ')[0]}: {way_out}") from error


@rank_zero_only
def _print_notes(experiment: Experiment, newest: Newest | None, changed: Mapping[str, Sequence[Any]]) -> None:
    checkpoint: Mapping[str, Any] = newest.content if newest else {"epoch": 0, "global_step": 0}
    epochs = checkpoint["epoch"]
    ended = checkpoint.get("ended")
    print(f"resumed where it had ended: {ended}" if ended else f"resumed {after(epochs, checkpoint['global_step'])}")
    for option, (before, now) in changed.items():
        print(f"changed: {option} from {json.dumps(before)} to {json.dumps(now)}")
    there = {int(row["epoch"]) for row in experiment.table.rows}
    if missing := [epoch for epoch in range(epochs) if epoch not in there]:
        print(f"note: {experiment.run.metrics.name} lacks epochs {missing[0]}..{missing[-1]}", file=sys.stderr)
    schedule = experiment.config.get("model.init_args.lr_scheduler.class_path")
    longer = {"--trainer.max_epochs", "--trainer.max_steps"} & changed.keys()
    if schedule and longer and issubclass(resolve_name(schedule), RunLengthLR):
        print(f"note: {schedule.rpartition('.')[2]} follows the curve of a run of the new length from here on")
