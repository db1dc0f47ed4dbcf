"""Write the page of a run: report.html in its directory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.commands.evaluate import restored
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.data import ImageDataModule
from lamphouse.errors import InputError, short_path
from lamphouse.files import write_whole
from lamphouse.loggers import MetricsTable
from lamphouse.pages import Predictions, calibration_figure, confusion_figure, curve_figures, data_uri, predict, render
from lamphouse.runs.directory import Run
from lamphouse.runs.options import named_options
from lamphouse.runs.report import PARTS, best_row, data_text, lacks
from lamphouse.task import Task

MOST_CLASSES = 200  # of whose confusion a figure can be read
SHOWN_CHANNELS = {1, 3}
SECTIONS = ("model", "data")  # whose options are all listed; of the others, those that are not the defaults


def main(project: Project, args: Sequence[str]) -> None:
    """Write report.html: result, curves, classes, mistakes, options and the commands that reproduce the run."""
    description = "Write the page of a run; further options are those of fit."
    parser = CommandParser(project, "report", description, checkpoint=True)
    options, run, rest = parser.parse_run(args)
    rows = MetricsTable(run.metrics).rows
    epochs = [row for row in rows if not any(name.startswith("test/") for name in row)]
    if not epochs:
        raise InputError(f"--run {run.path}: no epoch yet: train one, or give another run")
    experiment, checkpoint = restored(project, "report", run, options.checkpoint, rest)
    experiment.load_data()
    figures, contents = [*curve_figures(epochs, checkpoint["epoch"])], {}
    if predictions := _predictions(experiment):
        figures += _figures(predictions)
        contents = {"classes": predictions.table(), "mistakes": [*_mistakes(predictions, experiment.datamodule)]}
    reached = {**best_row(rows, checkpoint), **rows[-1]}
    result = {PARTS[part]: values for part in PARTS if (values := _of_part(part, reached))}
    facts = _facts(experiment, run, checkpoint, predictions)
    told = {name: str(value) for name, value in _told(experiment, read_file(run.config))}
    config, directory = quote(short_path(run.config)), quote(short_path(run.path))
    again = [f"{project.program} fit -c {config}", f"{project.program} evaluate --run {directory}"]
    path = run.path / "report.html"
    title = f"{experiment.config.experiment} {run.name}"
    write_whole(path, render(title, result, facts, figures, **contents, options=told, commands=again))
    print(f"written to {short_path(path)}")


def _predictions(experiment: Experiment) -> Predictions | None:
    model, data = experiment.model, experiment.datamodule
    num_classes = getattr(data, "num_classes", None)
    if not isinstance(model, Task) or not num_classes or lacks("test", model, data):
        return None
    classes = getattr(data, "classes", None) or [str(index) for index in range(num_classes)]
    prepare = lambda batch: data.on_after_batch_transfer(data.on_before_batch_transfer(batch, 0), 0)  # noqa: E731
    return predict(model.cpu(), data.test_dataloader(), prepare, classes)


def _figures(predictions: Predictions) -> Iterator[tuple[str, str]]:
    if len(predictions.classes) <= MOST_CLASSES:
        yield "confusion matrix of the test set", confusion_figure(predictions)
    yield "calibration on the test set", calibration_figure(predictions)


def _mistakes(predictions: Predictions, data: Any) -> Iterator[dict[str, Any]]:
    images = None
    if isinstance(data, ImageDataModule) and data.input_shape[0] in SHOWN_CHANNELS:
        images = data.parts["test"][:][0]
    for mistake in predictions.mistakes():
        yield {**mistake, "image": data_uri(images[mistake["index"]]) if images is not None else None}


def _of_part(part: str, row: Mapping[str, Any]) -> dict[str, float]:
    return {name.partition("/")[2]: float(row[name]) for name in row if name.startswith(f"{part}/")}


def _facts(
    experiment: Experiment, run: Run, checkpoint: Mapping[str, Any], predictions: Predictions | None
) -> dict[str, str]:
    parameters = sum(parameter.numel() for parameter in experiment.model.parameters())
    facts = {
        "model": f"{type(experiment.model).__name__}, {parameters:,} parameters",
        "data": data_text(experiment.datamodule),
        "best epoch": f"{checkpoint['epoch']}, {checkpoint['global_step']:,} steps",
    }
    if predictions:
        facts["calibration"] = f"expected error {predictions.calibration_error:.4f}"
    path = run.path / "environment.json"
    if path.is_file():
        environment = json.loads(path.read_text(encoding="utf-8"))
        facts["commit"] = f"{environment['git']['commit']}{' with changes' if environment['git']['changed'] else ''}"
        facts["machine"] = f"{environment['platform']}, Python {environment['python']}"
        facts["packages"] = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    return facts


def _told(experiment: Experiment, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    defaults = experiment.parser.get_defaults()
    for option, value in named_options(options):
        if option.startswith(SECTIONS) or value != defaults.get(option):
            yield option, value
