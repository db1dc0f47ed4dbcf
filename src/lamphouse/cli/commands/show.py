"""Show every option of an experiment, and where its value comes from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from lamphouse.cli.checks.yaml_files import read_yaml
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.runs.options import SPEC_KEYS, named_options

MACHINE = "this machine"
CHOSEN = {  # where values come from that nobody gave
    "experiment": "its file's name",
    "trainer.precision": MACHINE,
    "model.channels_last": MACHINE,
    "data.seed": "seed_everything",
    "model.num_classes": "the data",
    "model.input_shape": "the data",
}
GROUP = "\0"  # in the place of a value: options follow
COLUMN = 50  # of the comments, unless a line is longer


def main(project: Project, args: Sequence[str]) -> None:
    """Print the resolved options as YAML, each with its source as a comment."""
    experiment = Experiment(project, "show", args)
    sources = [(f"{path}", dict(named_options(given))) for path, given in experiment.files.items()]
    sources.append(("command line", dict(_on_command_line(args))))
    for option, indent, key, value in _lines(read_yaml(experiment.resolved())):
        line = f"{'  ' * indent}{key}:" + ("" if value == GROUP else f" {as_yaml(value)}")
        print(line if value == GROUP else f"{line:<{COLUMN}}  # {_source(option, value, sources)}")


def _lines(options: Mapping[str, Any], prefix: str = "", indent: int = 0) -> Iterator[tuple[str, int, str, Any]]:
    """Yield each option's name, as on the command line, its level and key in YAML, and its value."""
    for key, value in options.items():
        option = prefix.rstrip(".") if key in SPEC_KEYS else f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield option, indent, key, GROUP
            yield from _lines(value, f"{option}.", indent + 1)
        else:
            yield option, indent, key, value


def _on_command_line(args: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for position, arg in enumerate(args):
        if arg.startswith("--"):
            option, equals, value = arg[2:].partition("=")
            text = value if equals else "".join(args[position + 1 : position + 2])
            given = read_yaml(text)
            nested = given if isinstance(given, Mapping) else {}
            yield option.rstrip("+"), given
            yield from ((f"{option}.{name}", part) for name, part in named_options(nested))


def _source(option: str, value: Any, sources: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    giving = [name for name, given in sources if option in given and not (given[option] is None and value is not None)]
    return giving[-1] if giving else CHOSEN.get(option, "default") if value is not None else "default"


def as_yaml(value: Any) -> str:
    """Write a value on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.strip().removesuffix("...").strip()
