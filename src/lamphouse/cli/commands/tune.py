"""Find the largest batch size that fits into memory, and a learning rate to start from."""

from collections.abc import Sequence

from jsonargparse import Namespace
from matplotlib.figure import Figure

from lamphouse.cli.checks.options import check_options, one_of
from lamphouse.cli.commands.fit import make_directory
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import print_unused
from lamphouse.cli.project import Project
from lamphouse.cli.tuning import find_lr, largest_batch_size
from lamphouse.errors import InputError, short_path
from lamphouse.machine.memory import advice
from lamphouse.runs.directory import Run, new_run

ONE_DEVICE = "tune trains a little on one device: leave it out"
RULES = {
    "trainer.devices": one_of(["auto", "1", 1], ONE_DEVICE),
    "trainer.num_nodes": one_of([1], ONE_DEVICE),
    "trainer.fast_dev_run": one_of([False, 0], ONE_DEVICE),
}


def main(project: Project, args: Sequence[str]) -> None:
    """Print what was found, and plot the loss over the learning rate."""
    experiment = Experiment(project, "tune", args, where=lambda config: new_run(config.runs, config.experiment))
    check_options(experiment.config, RULES)
    experiment.check()
    print_unused(experiment.files, experiment.config)
    size = largest_batch_size(project, args)
    if not size:
        raise InputError(advice(1, size))
    lr, finder = find_lr(project, args)
    run = Run(experiment.run.path.with_name(f"tune-{experiment.run.name}"))
    make_directory(run)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    finder.plot(ax=axes)
    axes.axvline(lr, color="C1", label=f"falls fastest at {lr:.2g}")
    axes.legend()
    path, at = run.path / "lr.png", f"at batch size {experiment.datamodule.batch_size}"
    figure.savefig(path, dpi=150)
    print(f"batch size     {size:<10} the largest that was tried and fits: --data.batch_size {size}")
    print(f"learning rate  {lr:<10.2g} where the loss falls fastest, {at}: {_lr_option(experiment, lr)}")
    print(f"plot           {short_path(path)}")


def _lr_option(experiment: Experiment, lr: float) -> str:
    optimizer = experiment.config.get("model.init_args.optimizer")
    if optimizer is None:
        return "the model has no option for it"
    return f"{'' if isinstance(optimizer, Namespace) else '--model.optimizer NAME '}--model.optimizer.lr {lr:.2g}"
