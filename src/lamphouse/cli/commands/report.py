"""Write the page of a run: report.html in its directory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pkgutil import resolve_name
from shlex import quote
from statistics import median
from typing import Any

from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.commands.evaluate import restored
from lamphouse.cli.commands.pictures import log_again
from lamphouse.cli.commands.show import as_yaml
from lamphouse.cli.experiment import LINKED, Experiment
from lamphouse.cli.parser import CommandParser, ExperimentParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError, short_path
from lamphouse.files import write_whole
from lamphouse.loggers import MetricsTable
from lamphouse.pages import curve_figures, look, render
from lamphouse.runs.directory import Run
from lamphouse.runs.history import read_history
from lamphouse.runs.options import named_options
from lamphouse.runs.report import PARTS, best_row, data_text, epoch_rows, results, unit


def main(project: Project, args: Sequence[str]) -> None:
    """Write report.html: result, curves, classes, mistakes, options and the commands that reproduce the run."""
    description = "Write the page of a run; further options are those of fit."
    parser = CommandParser(project, "report", description, checkpoint=True)
    options, run, rest = parser.parse_run(args)
    rows = MetricsTable(run.metrics).rows
    epochs = epoch_rows(rows)
    if not epochs:
        raise InputError(f"--run {run.path}: no epoch yet: train one, or give another run")
    experiment, checkpoint = restored(project, "report", run, options.checkpoint, rest)
    experiment.load_data()
    pictures = look(experiment.model, experiment.datamodule, experiment.trainer.strategy.root_device)
    is_best = options.checkpoint == run.best
    reached, steps = results(rows, checkpoint, is_best), f"after {checkpoint['global_step']:,} steps"
    when = {options.checkpoint.name: steps}
    if is_best:
        when = {"best epoch": f"{checkpoint['epoch']} of 0..{epochs[-1]['epoch']}, {steps}"}
    page = render(
        experiment.config.experiment,
        run.name,
        {PARTS[part]: values for part in PARTS if (values := _of_part(part, reached))},
        {**_facts(experiment, epochs), **when, **_environment(run)},
        [*curve_figures(epochs, best_row(rows, checkpoint) if is_best else None)],
        pictures,
        {name: as_yaml(value) for name, value in _changed(experiment, read_file(run.config))},
        [*_commands(project, run)],
    )
    path = run.path / "report.html"
    write_whole(path, page)
    print(f"written to {short_path(path)}")
    if experiment.config.pictures:
        log_again(experiment, run, checkpoint)


def _of_part(part: str, row: Mapping[str, Any]) -> dict[str, float]:
    return {name.partition("/")[2]: float(row[name]) for name in row if name.startswith(f"{part}/")}


def _facts(experiment: Experiment, epochs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    model, data = experiment.model, experiment.datamodule
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = {"model": f"{type(model).__name__}, {parameters:,} parameters", "data": data_text(data)}
    if speeds := [float(row["samples_per_second"]) for row in epochs if row.get("samples_per_second")]:
        seconds = sum(float(row["seconds"]) for row in epochs if row.get("seconds"))
        facts["training"] = f"{seconds:,.1f} s, {median(speeds):,.0f} {unit(data)}/s"
    return facts


def _environment(run: Run) -> dict[str, str]:
    found = _read_environment(run)
    if not found:
        return {}
    return {
        "commit": f"{found['git']['commit']}{' with changes' if found['git']['changed'] else ''}",
        "machine": f"{found['platform']}, Python {found['python']}, CPU threads: {found['threads']}",
        "packages": ", ".join(f"{name} {version}" for name, version in found["packages"].items()),
    }


def _read_environment(run: Run) -> dict[str, Any]:
    path = run.path / "environment.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _commands(project: Project, run: Run) -> Iterator[str]:
    """Yield what trains the same again; a resume that changed options is told, for the configuration is the last."""
    git = _read_environment(run).get("git", {})
    if git.get("commit"):
        yield f"git checkout {git['commit']}{'  # and what was not committed' if git['changed'] else ''}"
    yield f"{project.program} fit -c {quote(short_path(run.config))}"
    yield f"{project.program} evaluate --run {quote(short_path(run.path))}"
    for entry in read_history(run):
        for name, (before, after) in entry.get("changed", {}).items():
            yield f"# from step {entry['from_step']} on, {name} was {after}, and before {before}"


def _changed(experiment: Experiment, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the options that are not the defaults, and the classes that were chosen."""
    defaults = dict(named_options(experiment.parser.get_defaults().as_dict()))
    own = dict(_own_defaults(options))
    for option, value in named_options(options):
        default = own.get(option, defaults.get(option))
        same = value == (list(default) if isinstance(default, tuple) else default)
        if not same and option.rpartition(".")[2] not in LINKED:
            yield option, value


def _own_defaults(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the defaults of the options of each class that is named."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            if isinstance(named := resolve_name(value["class_path"]) if "class_path" in value else None, type):
                parser = ExperimentParser()
                parser.add_class_arguments(named, "options", fail_untyped=False)
                defaults = parser.get_defaults().as_dict().get("options", {})
                yield from ((f"{prefix}{key}.{name}", default) for name, default in defaults.items())
            yield from _own_defaults(value, prefix if key == "init_args" else f"{prefix}{key}.")
