"""Find the largest batch size that fits, and a learning rate to try."""

import os
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace
from matplotlib.figure import Figure

from lamphouse.cli.checks import print_left_out
from lamphouse.cli.commands.fit import make_directory
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.cli.tuning import Curve, largest_batch_size, loss_by_lr
from lamphouse.errors import InputError
from lamphouse.machine.memory import advice
from lamphouse.runs.directory import Run, new_run

ONE = ("auto", "1", 1)  # device


def main(project: Project, args: Sequence[str]) -> None:
    """Print what was found, and draw the loss over the learning rate.

    Raises:
        InputError: something that the user gave is wrong; then nothing has been written.
    """
    experiment = Experiment(project, "tune", args, where=directory)
    check(experiment)
    print_left_out(experiment.files, experiment.config)
    size = largest_batch_size(project, args)
    if not size:
        raise InputError(advice(1, size))
    curve = loss_by_lr(project, args)
    make_directory(experiment.run)
    picture = experiment.run.path / "lr.png"
    draw(curve, picture)
    lr, own = curve.steepest, experiment.datamodule.batch_size
    print(f"batch size     {size:<10} the largest that was tried and fits: --data.batch_size {size}")
    print(f"learning rate  {lr:<10.2g} where the loss falls fastest, at batch size {own}: {lr_option(experiment, lr)}")
    print(f"curve          {os.path.relpath(picture)}")


def directory(config: Namespace) -> Run:
    """Choose a directory beside those of the experiment's runs."""
    run = new_run(config.runs, config.experiment)
    return Run(run.path.with_name(f"tune-{run.name}"))


def check(experiment: Experiment) -> None:
    """Find out what is wrong before the search.

    Raises:
        InputError: something is, or it asks for what the search does not do.
    """
    trainer = experiment.config.trainer
    for option, usual in {"devices": ONE, "num_nodes": (1,), "fast_dev_run": (False, 0)}.items():
        if trainer[option] not in usual:
            raise InputError(f"--trainer.{option} {trainer[option]}: tune trains a little on one device: leave it out")
    experiment.load_data()
    experiment.check()


def lr_option(experiment: Experiment, lr: float) -> str:
    """Say how the optimizer gets a learning rate."""
    options = experiment.config.model.init_args
    if "optimizer" not in options:
        return "the model has no option for it"
    chosen = isinstance(options.optimizer, Namespace)
    return f"{'' if chosen else '--model.optimizer NAME '}--model.optimizer.lr {lr:.2g}"


def draw(curve: Curve, path: Path) -> None:
    """Draw the loss over the learning rate, and mark where it falls fastest."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(*curve)
    axes.axvline(curve.steepest, color="C1", label=f"falls fastest at {curve.steepest:.2g}")
    axes.set(xlabel="learning rate", ylabel="training loss, averaged")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
