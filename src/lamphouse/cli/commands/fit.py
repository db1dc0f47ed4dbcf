"""Train a model in a new run, then test its best checkpoint."""

import shutil
from collections.abc import Sequence
from signal import SIGINT
from time import perf_counter

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.checkpoints import load_checkpoint
from lamphouse.checkpoints.files import loading, saved_steps
from lamphouse.cli.checks.messages import explain_training, first_plain_message
from lamphouse.cli.checks.options import print_unused
from lamphouse.cli.checks.yaml_files import read_yaml
from lamphouse.cli.diagnosis import explaining_not_finite
from lamphouse.cli.experiment import Experiment, is_first_process
from lamphouse.cli.project import Project
from lamphouse.cli.tuning import advising_batch_size
from lamphouse.errors import InputError, StoppedError
from lamphouse.files import write_whole
from lamphouse.loggers import close, log_config
from lamphouse.loops import refuse_unsupported, train_handwritten
from lamphouse.runs.directory import Run, new_run
from lamphouse.runs.environment import environment
from lamphouse.runs.report import print_header, print_summary, unit


def main(project: Project, args: Sequence[str]) -> dict[str, float]:
    """Train a new run; where the user's input is wrong, no run is left behind."""
    experiment = Experiment(project, "fit", args, where=lambda config: new_run(config.runs, config.experiment))
    experiment.load_data()
    check(experiment)
    print_unused(experiment.files, experiment.config)
    if is_first_process():
        make_directory(experiment.run)
    try:
        return train(experiment)
    except (InputError, OSError):
        if not saved_steps(experiment.run.path):
            shutil.rmtree(experiment.run.path, ignore_errors=True)  # nothing has been trained
        raise


def check(experiment: Experiment) -> None:
    """Try what would otherwise fail within the run only, and what the loop does not support."""
    experiment.check()
    if experiment.config.loop == "handwritten":
        given, default = experiment.config.as_dict(), experiment.parser.get_defaults().as_dict()
        refuse_unsupported(experiment.trainer, experiment.model, experiment.datamodule, given, default)


def make_directory(run: Run) -> None:
    """Make the run's directory."""
    try:
        run.path.mkdir(parents=True)
    except OSError as error:
        way_out = "choose a directory that can be written to with --runs"
        raise InputError(f"{run.path} cannot be made ({error.strerror}): {way_out}") from error


def train(experiment: Experiment, checkpoint: str | None = None) -> dict[str, float]:
    """Train, from a checkpoint if there is one, test the best weights, and print and return the metrics."""
    start = perf_counter()
    write_description(experiment)
    report_start(experiment)
    try:
        with experiment.config_init.last_checkpoint.signals, explaining_not_finite(experiment):
            run_loop(experiment, checkpoint)
    except (StoppedError, KeyboardInterrupt, SystemExit) as cause:  # Lightning answers Ctrl-C with SystemExit
        stop = cause if isinstance(cause, StoppedError) else StoppedError(SIGINT)
        stop.__notes__ = [f"to continue: {experiment.project.program} resume --run {experiment.run.path}"]
        raise stop from cause
    finally:
        close(experiment.trainer.loggers)
    return report_end(experiment, perf_counter() - start)


@rank_zero_only
def write_description(experiment: Experiment) -> None:
    """Write down what the run is made from, for people, for `resume` and for the logger."""
    run, resolved = experiment.run, experiment.resolved()
    write_whole(run.config, resolved)
    write_whole(run.path / "environment.json", environment(experiment.project.directory))
    for logger in experiment.trainer.loggers:
        if logger is not experiment.table:  # without which there is no run
            log_config(logger, read_yaml(resolved))


def report_start(experiment: Experiment) -> None:
    """Print what is trained, on what and where."""
    config, trainer, model = experiment.config, experiment.trainer, experiment.model
    channels_last = getattr(model, "memory_format", None) == torch.channels_last
    machine = experiment.config_init.machine.describe(experiment.device, trainer.precision, channels_last)
    title = f"{config.experiment}: {config.model.class_path.rpartition('.')[2]}"
    print_header(title, model, experiment.datamodule, trainer, experiment.run, machine)


def report_end(experiment: Experiment, seconds: float) -> dict[str, float]:
    """Print and return what was reached."""
    run = experiment.run
    best = int(load_checkpoint(run.best)["epoch"]) if run.best.exists() else None
    return print_summary(run, experiment.table.rows, best, seconds, unit(experiment.datamodule)) or {}


def run_loop(experiment: Experiment, checkpoint: str | None = None) -> None:
    """Train and test with the loop that was chosen; explain what turns out not to work."""
    try:
        with advising_batch_size(experiment), loading(checkpoint):
            if experiment.config.loop == "handwritten":
                loop = experiment.project.loop("handwritten")
                train_handwritten(loop, experiment.trainer, experiment.model, experiment.datamodule)
            else:
                train_with_trainer(experiment)
    except MisconfigurationException as error:
        raise InputError(first_plain_message(error)) from error
    except (RuntimeError, ValueError) as error:
        if explanation := explain_training(error):
            raise InputError(explanation) from error
        raise


def train_with_trainer(experiment: Experiment) -> None:
    """Train with the Trainer, whose ExactResume finds the newest checkpoint, and test the best weights."""
    trainer, run, data = experiment.trainer, experiment.run, experiment.datamodule
    trainer.fit(experiment.model, datamodule=data)
    best = trainer.strategy.broadcast(str(run.best) if run.best.exists() else None)  # the first process's run
    trainer.test(experiment.model, data, ckpt_path=best, weights_only=True, verbose=False)
