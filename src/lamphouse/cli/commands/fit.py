"""Train a new run, then test its best checkpoint."""

import shutil
from collections.abc import Sequence
from signal import SIGINT
from time import perf_counter

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.checkpoints.files import load_checkpoint, loading, saved_steps
from lamphouse.cli import strict_yaml
from lamphouse.cli.checks import print_left_out
from lamphouse.cli.diagnosis import explained, naming_operation
from lamphouse.cli.experiment import Experiment, is_first_process
from lamphouse.cli.project import Project
from lamphouse.cli.tuning import advising_batch_size
from lamphouse.errors import InputError, NotFiniteError, StoppedError
from lamphouse.files import write_whole
from lamphouse.loggers import close, log_config
from lamphouse.loops import by_hand
from lamphouse.runs.directory import Run, new_run
from lamphouse.runs.environment import environment
from lamphouse.runs.report import print_header, print_summary, unit

LATE = {  # what is found out within the run only, and the option that it is about
    "val_check_interval": "--trainer.val_check_interval",
    "Tried to step": "--model.lr_scheduler",
    "C++ compiler": "--model.compile needs a C++ compiler, install g++ or leave the option out",
    "Early stopping conditioned on": "--trainer.callbacks",
}


def main(project: Project, args: Sequence[str]) -> None:
    """Train a new run.

    Raises:
        InputError: something that the user gave is wrong; then no run has been made.
    """
    experiment = Experiment(project, "fit", args, where=lambda config: new_run(config.runs, config.experiment))
    experiment.load_data()
    check(experiment)
    print_left_out(experiment.files, experiment.config)
    if is_first_process():
        make_directory(experiment.run)
    try:
        train(experiment)
    except (InputError, OSError):
        if not saved_steps(experiment.run.path):
            shutil.rmtree(experiment.run.path, ignore_errors=True)  # nothing has been trained
        raise


def check(experiment: Experiment) -> None:
    """Try what is otherwise found out within the run only.

    Raises:
        InputError: something is wrong, or more than the loop can do.
    """
    experiment.check()
    # [part:loops]
    if experiment.config.loop == "handwritten":
        by_hand.check(experiment)
    # [/part:loops]


def make_directory(run: Run) -> None:
    """Make the run's directory.

    Raises:
        InputError: it cannot be made.
    """
    try:
        run.path.mkdir(parents=True)
    except OSError as error:
        way_out = "choose a directory that can be written to with --runs"
        raise InputError(f"{run.path} cannot be made ({error.strerror}): {way_out}") from error


def train(experiment: Experiment, checkpoint: str | None = None) -> None:
    """Fit, from a checkpoint if there is one, test the best checkpoint and sum up."""
    start = perf_counter()
    record(experiment)
    report_beginning(experiment)
    try:
        with experiment.signals:
            run_loop(experiment, checkpoint)
    except (StoppedError, KeyboardInterrupt, SystemExit) as cause:  # the last is Lightning's answer to a Ctrl-C
        stop = cause if isinstance(cause, StoppedError) else StoppedError(SIGINT)
        stop.__notes__ = [f"to continue: {experiment.project.program} resume --run {experiment.run.path}"]
        raise stop from cause
    except NotFiniteError as error:
        raise explained(experiment, error) from error
    finally:
        close(experiment.trainer.loggers)
    report_end(experiment, perf_counter() - start)


def report_beginning(experiment: Experiment) -> None:
    """Print what is trained, on what and where."""
    config, trainer, model = experiment.config, experiment.trainer, experiment.model
    channels_last = getattr(model, "memory_format", None) == torch.channels_last
    device = trainer.strategy.root_device.type
    machine = experiment.config_init.machine.describe(device, trainer.precision, channels_last)
    title = f"{config.experiment}: {config.model.class_path.rpartition('.')[2]}"
    print_header(title, model, experiment.datamodule, trainer, experiment.run, machine)


def report_end(experiment: Experiment, seconds: float) -> None:
    """Print what was reached, and in what time."""
    run = experiment.run
    best = int(load_checkpoint(run.best)["epoch"]) if run.best.exists() else None
    print_summary(run, experiment.table.rows, best, seconds, unit(experiment.datamodule))


def run_loop(experiment: Experiment, checkpoint: str | None = None) -> None:
    """Train and test, by the loop that was chosen.

    Raises:
        InputError: the loop cannot do what a model of the user's own, say, asks for.
    """
    loop = train_and_test
    # [part:loops]
    if experiment.config.loop == "handwritten":
        loop = by_hand.train_and_test
    # [/part:loops]
    try:
        with advising_batch_size(experiment), naming_operation(experiment), loading(checkpoint):
            loop(experiment, checkpoint)
    except MisconfigurationException as error:
        raise InputError(" ".join(str(error).split())) from error
    except (RuntimeError, ValueError) as error:
        option = next((option for text, option in LATE.items() if text in str(error)), None)
        if option is None:
            raise
        raise InputError(f"{option}: {' '.join(str(error).split())}") from error


def train_and_test(experiment: Experiment, checkpoint: str | None) -> None:  # noqa: ARG001  # ExactResume finds it
    """Train with the Trainer, and test the best weights."""
    trainer, run, data = experiment.trainer, experiment.run, experiment.datamodule
    trainer.fit(experiment.model, datamodule=data)
    best = trainer.strategy.broadcast(str(run.best) if run.best.exists() else None)  # the first process's run
    trainer.test(experiment.model, data, ckpt_path=best, weights_only=True, verbose=False)


@rank_zero_only
def record(experiment: Experiment) -> None:
    """Write down what the run is made from, for a person, for `resume` and for every logger."""
    run, resolved = experiment.run, experiment.resolved()
    write_whole(run.config, resolved)
    write_whole(run.path / "environment.json", environment(experiment.project.directory))
    for logger in experiment.trainer.loggers:
        if logger is not experiment.table:  # without which there is no run
            log_config(logger, strict_yaml.read(resolved))
