"""Train a model in a new run, then test its best checkpoint."""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from shlex import quote
from signal import SIGINT
from time import monotonic, perf_counter, sleep
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.checkpoints import load_checkpoint
from lamphouse.checkpoints.files import Newest, saved_steps, write_checkpoint
from lamphouse.checkpoints.signals import Ranks
from lamphouse.cli.checks.messages import explain_training, first_plain_message
from lamphouse.cli.checks.yaml_files import read_yaml
from lamphouse.cli.diagnosis import explain_part, explaining_not_finite, loading
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import print_unused
from lamphouse.cli.project import Project
from lamphouse.cli.suggestions import blaming
from lamphouse.cli.tuning import advising_batch_size
from lamphouse.errors import InputError, LostRankError, NotFiniteError, StoppedError, short_path
from lamphouse.files import only_writer, write_whole
from lamphouse.loggers import close, log_best, log_config
from lamphouse.loops import train_handwritten
from lamphouse.machine.job import Job
from lamphouse.machine.start import has_launcher
from lamphouse.runs.directory import Run, new_run
from lamphouse.runs.environment import environment
from lamphouse.runs.history import begin_entry, begun_by, complete_entry, end_entry, is_open
from lamphouse.runs.report import best_row, lacks, print_header, print_summary, results, unit

WITHOUT = {  # parts of the data that an option may leave out, and what follows
    "val": "no validation: best.ckpt will have the last weights, and training does not stop early",
    "test": "no test",
}
SECONDS_A_RANK = 2  # for a process of lower rank to say first that another was lost


def main(project: Project, args: Sequence[str]) -> dict[str, float]:
    """Train a new run, and return the metrics that are printed."""
    return train_new(project, args)[1]


def train_new(project: Project, args: Sequence[str]) -> tuple[Run, dict[str, float]]:
    """Train a new run; where the user's input is wrong, no run is left behind."""
    begun: list[str] = []
    experiment = Experiment(project, "fit", args, where=partial(_choose, project.job, args, begun))
    if begun:
        return experiment.run, import_module("lamphouse.cli.commands.resume").go_on_again(project, experiment.run)
    experiment.check()
    rank_zero_only(print_unused)(experiment.files, experiment.config)
    make_directory(experiment.run)
    try:
        project.job.wait_for_first()
        with only_writer(experiment.run.path):
            metrics = train(experiment)
    except (LostRankError, NotFiniteError, StoppedError):
        raise
    except Exception:
        if not saved_steps(experiment.run.path):
            rank_zero_only(shutil.rmtree)(experiment.run.path, ignore_errors=True)  # nothing has been trained
        raise
    if experiment.config.trainer.fast_dev_run:  # or other commands would take it for a run
        rank_zero_only(shutil.rmtree)(experiment.run.path, ignore_errors=True)
        rank_zero_only(print)("fast_dev_run: it works, and nothing is kept")
    return experiment.run, metrics


def _choose(job: Job, args: Sequence[str], begun: list[str], config: Namespace) -> Run:
    """Choose the run of a job: a new one, or the one that it has `begun` before its processes were started again."""

    def before() -> str:
        if job.begun and Run(Path(job.begun)).config.exists():
            return job.begun
        found = begun_by(Path(config.runs), {"command": [*args], **job.again}) if job.again else None
        return job.begin(str(found.path)) if found else ""

    begun += filter(None, [job.share("begun", before)])
    path = begun[0] if begun else job.share("run", lambda: job.begin(str(new_run(config.runs, config.experiment).path)))
    return Run(Path(path))


@rank_zero_only
def make_directory(run: Run) -> None:
    """Make the run's directory."""
    try:
        run.path.mkdir(parents=True)
    except OSError as error:
        way_out = "choose a directory that can be written to with --runs"
        raise InputError(f"{run.path} cannot be made ({error.strerror}): {way_out}") from error


def train(
    experiment: Experiment, newest: Newest | None = None, changed: Mapping[str, Sequence[Any]] | None = None
) -> dict[str, float]:
    """Train, from a checkpoint if there is one, test the best weights, and print and return the metrics.

    `changed` are the values of options before and after a change.
    """
    start, run, resume = perf_counter(), experiment.run, experiment.config_init.last_checkpoint
    _describe(experiment)
    identity = experiment.project.job.identity
    job = {"command": experiment.args, **identity} if identity else {}
    begin_entry(run, experiment.datamodule, newest.content["global_step"] if newest else 0, changed or {}, job)
    with _explaining_end(experiment) as ranks:
        with resume.signals, ranks, explaining_not_finite(experiment):
            run_loop(experiment, str(newest.path) if newest else None)
        end_entry(run, resume.ended)
        kept = load_checkpoint(run.best, weights=False) if run.best.exists() else None
        rows = experiment.table.rows  # none if there was a fast_dev_run
        reached = {**best_row(rows, kept), **(results(rows, kept) if rows else {})}
        log_best(experiment.trainer.loggers, lambda: read_yaml(experiment.resolved()), reached)
        if experiment.config.pictures and kept:
            _show_pictures(experiment)
    wall_time = f"{perf_counter() - start:.1f} s" + (" since it was resumed" if newest else "")
    samples, monitor = unit(experiment.datamodule), experiment.config.best_checkpoint.monitor
    return print_summary(run, experiment.table.rows, kept, wall_time, samples, resume.ended, monitor) or {}


@contextmanager
def _explaining_end(experiment: Experiment) -> Iterator[Ranks]:
    """Record why a training ends that is not complete, and say how to go on with it."""
    run, trainer = experiment.run, experiment.trainer
    ranks = Ranks(trainer, experiment.config_init.last_checkpoint.signals, partial(_give_up, experiment))
    try:
        yield ranks
    except (StoppedError, LostRankError, KeyboardInterrupt, SystemExit) as cause:  # the last is Lightning's for Ctrl-C
        stop = cause if isinstance(cause, StoppedError | LostRankError) else StoppedError(SIGINT)
        stop.__notes__, stop.is_told = [_way_on(experiment)], not _tells(experiment, str(stop))
        raise stop from cause
    except Exception as error:
        end_entry(run, type(error).__name__)
        end = monotonic() + SECONDS_A_RANK
        while experiment.project.job.launched and is_open(run) and monotonic() < end:
            sleep(0.1)
        experiment.project.job.is_told = experiment.project.job.launched and not is_open(run)
        raise
    finally:
        close(trainer.loggers)
        ranks.wait()


def _way_on(experiment: Experiment) -> str:
    return f"to continue: {experiment.project.program} resume --run {quote(short_path(experiment.run.path))}"


def _give_up(experiment: Experiment, error: Exception) -> None:
    end_entry(experiment.run, str(error))
    print(f"{experiment.project.package}: {error}; {_way_on(experiment)}", file=sys.stderr, flush=True)


def _tells(experiment: Experiment, ended: str) -> bool:
    """Record why the run ended, and return whether this process says so: the one of the lowest rank that is left."""
    if rank := experiment.trainer.global_rank:
        sleep(0.5)  # until a launcher that was killed has ended
        end = monotonic() + SECONDS_A_RANK * min(rank, 3)
        while is_open(experiment.run) and not has_launcher() and monotonic() < end:
            sleep(0.1)
        if has_launcher() or not is_open(experiment.run):
            return False
    complete_entry(experiment.run, ended)
    return True


@rank_zero_only
def _show_pictures(experiment: Experiment) -> None:
    """Log what the model does; the run is complete without it, whatever fails."""
    if experiment.trainer.world_size > 1:
        print("note: --pictures true: each of several devices has a part of the data: use report", file=sys.stderr)
        return
    try:
        best = load_checkpoint(experiment.run.best)
        import_module("lamphouse.cli.commands.pictures").log(experiment, experiment.trainer.loggers, best)
    except Exception as error:
        print(f"warning: --pictures true: {first_plain_message(error)}: the run has none", file=sys.stderr)


@rank_zero_only
def _describe(experiment: Experiment) -> None:
    config, trainer, model = experiment.config, experiment.trainer, experiment.model
    run, resolved = experiment.run, experiment.resolved()
    write_whole(run.config, resolved)
    write_whole(run.path / "environment.json", environment(experiment.project.directory))
    for logger in trainer.loggers:
        if logger is not experiment.table:  # without which there is no run
            log_config(logger, read_yaml(resolved), trainer)
    channels_last = getattr(model, "memory_format", None) == torch.channels_last
    machine = experiment.config_init.machine.describe(experiment.device, trainer.precision, channels_last)
    title = f"{config.experiment}: {config.model.class_path.rpartition('.')[2]}"
    print_header(title, model, experiment.datamodule, trainer, run, machine)
    for part, effect in WITHOUT.items():
        if config.trainer[f"limit_{part}_batches"] == 0:
            print(f"note: --trainer.limit_{part}_batches 0: {effect}", file=sys.stderr)


def run_loop(experiment: Experiment, checkpoint: str | None = None) -> None:
    """Train and test with the loop that was chosen; explain what turns out not to work."""
    trainer, model, data = experiment.trainer, experiment.model, experiment.datamodule
    try:
        with advising_batch_size(experiment), loading(checkpoint):
            if experiment.config.loop == "handwritten":
                train_handwritten(experiment.project.loop("handwritten"), trainer, model, data)
                return
            trainer.fit(model, datamodule=data)  # ExactResume finds the newest checkpoint
            best = experiment.run.best
            if not best.exists():
                _keep_last(experiment)
            if missing := lacks("test", model, data):
                rank_zero_only(print)(f"note: there is no test without {missing}", file=sys.stderr)
                return
            first = trainer.strategy.broadcast(str(best) if best.exists() else None)  # the first process's run
            trainer.test(model, data, ckpt_path=first, weights_only=True, verbose=False)
    except MisconfigurationException as error:
        if explanation := explain_training(error):
            raise InputError(explanation) from error
        raise blaming(error, experiment.config.trainer, experiment.parser.get_defaults().trainer) from error
    except (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if explanation := explain_training(error) or explain_part(error):
            raise InputError(explanation) from error
        raise


@rank_zero_only
def _keep_last(experiment: Experiment) -> None:
    """Make the last weights the best ones, as none have been validated."""
    run, rows = experiment.run, experiment.table.rows
    if run.last.exists() and rows:
        if experiment.config.trainer.limit_val_batches != 0:  # of which there is a note already
            print("note: nothing was validated: best.ckpt has the last weights", file=sys.stderr)
        write_checkpoint(load_checkpoint(run.last) | {"epoch": int(rows[-1]["epoch"])}, run.best)
