"""Measure a run's checkpoint on the validation and test sets."""

from collections.abc import Sequence

from lamphouse.checkpoints.files import load_checkpoint, loading
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import RunParser
from lamphouse.cli.project import Project
from lamphouse.runs.report import print_metrics


def main(project: Project, args: Sequence[str]) -> dict[str, float]:
    """Print and return the metrics of a checkpoint; options of the experiment can be overridden."""
    description = "Measure a run's checkpoint; further options are those of fit."
    options, run, rest = RunParser(project, "evaluate", description, checkpoint=True).parse_run(args)
    path, checkpoint = options.checkpoint, load_checkpoint(options.checkpoint)
    experiment = Experiment(project, "evaluate", ["-c", str(run.config), *rest])
    experiment.check_weights(checkpoint, path)
    experiment.load_data()
    model, data = experiment.model, experiment.datamodule
    values: dict[str, float] = {}
    with loading(path):
        for evaluate in (experiment.trainer.validate, experiment.trainer.test):
            values |= evaluate(model, data, ckpt_path=str(path), weights_only=True, verbose=False)[0]
    print_metrics(values)
    return values
