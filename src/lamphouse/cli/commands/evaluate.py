"""Measure a run's checkpoint on the validation and test images."""

from collections.abc import Sequence

from lamphouse.checkpoints.files import load_checkpoint, loading
from lamphouse.cli.commands.options import OptionParser, checkpoint_path, run_and_rest
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.cli.tuning import advising_batch_size
from lamphouse.runs.report import print_metrics


def main(project: Project, args: Sequence[str]) -> None:
    """Print loss and accuracy of a checkpoint; options of the experiment can be overridden.

    Raises:
        InputError: there is no such run or checkpoint, or the data is missing or damaged.
    """
    parser = OptionParser(project, "evaluate", "Measure a run's checkpoint; further options are those of fit.")
    parser.add_argument("--checkpoint", default="best", help="best, last or a file (default: best)")
    options, run, rest = run_and_rest(parser, args)
    path = checkpoint_path(run, options.checkpoint)
    checkpoint = load_checkpoint(path)
    experiment = Experiment(project, "evaluate", ["-c", str(run.config), *rest])
    experiment.check_weights(checkpoint, path)
    experiment.load_data()
    passes = (experiment.trainer.validate, experiment.trainer.test)
    values: dict[str, float] = {}
    with advising_batch_size(experiment, "validate"), loading(path):
        for evaluate in passes:
            values |= evaluate(
                experiment.model, experiment.datamodule, ckpt_path=str(path), weights_only=True, verbose=False
            )[0]
    print_metrics(values)
