"""The parser of options and YAML files: jsonargparse, with errors of one line."""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from arc_light.errors import InputError

REASONS = (
    r"does not conform to restriction (?P<range>.+?)(?:\. Got value: .*)?$",
    r"Not of type \w+: (?:invalid literal for|could not convert string to) (?P<type>int|float)",
    r"Option '(?P<unknown>[^']+)' is not accepted",
    r"unrecognized arguments?: (?P<unknown>.+)",
    r"the following arguments are required: (?P<required>.+)",
    r"Expected a path but (?P<missing>\S+\.ya?ml) either",
    r"Expected a (?P<type>(?!path |dot import|<class 'NoneType'>).+?)(?:\. Got value: .*)?$",
    r"(?P<import>Expected a dot import path string)",
)
VALUES = (  # where jsonargparse says what was given, the most telling first
    r"Given value: NestedArg\(key='[^']*', val=(.*)\)$",
    r"Given value: (?!NestedArg|Namespace|\{)(.*)$",
    r"Got value: (?!Namespace)(.*)$",
    r"(?:with base 10|string to float): (.*)$",
    r": (\S+) does not conform to restriction",
)
TYPES = {"collections.abc.Sequence": "list", "collections.abc.Iterable": "list", "dict": "mapping", "str": "text"}


class ExperimentParser(LightningArgumentParser):
    """A parser that raises an `InputError` of one line instead of printing its usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what is wrong; parsers of nested options hand it to the outer one."""
        if not self.exit_on_error:
            super().error(message, ex)
        cause = reason(ex) if ex else ""
        raise InputError(f"{explain(message, cause)}; see --help for every option") from ex


def yaml_files(args: Sequence[str]) -> dict[Path, dict[str, Any]]:
    """Read the YAML files among the options.

    Raises:
        InputError: one is missing, not readable or not a mapping of options.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config", action="append", type=Path, default=[])
    try:
        paths = parser.parse_known_args(args)[0].config
    except argparse.ArgumentError as error:
        raise InputError(f"{error}; see --help for every option") from error
    return {path: read_yaml(path) for path in paths}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of options.

    Raises:
        InputError: it is missing, not readable or not a mapping of options.
    """
    try:
        options = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError as error:
        raise InputError(f"--config {path}: {no_such_file(path)}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--config {path}: not a readable YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(options, dict):
        raise InputError(f"--config {path}: not a YAML file of options, such as `trainer: {{max_epochs: 3}}`")
    return options


def no_such_file(path: Path) -> str:
    """Say which YAML files there are instead."""
    others = ", ".join(sorted(other.name for other in path.parent.glob("*.yaml")))
    return f"no such file; there are {others}" if others else "no such file, nor another YAML file in its folder"


def reason(error: BaseException) -> str:
    """Return the text of the first error of a chain that is not one of jsonargparse's trees."""
    while "\n" in str(error) and error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def explain(message: str, cause: str = "") -> str:
    """Condense jsonargparse's tree of an error, and its cause, to one line: option, value and what was expected."""
    nested = re.findall(r"Given value: NestedArg\(key='([^']*)'", message)
    keys = list(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', message)))
    option = ".".join([keys[0], nested[-1]] if nested and keys else keys)
    lines = f"{message}\n{cause}"
    values = (found[-1] for pattern in VALUES if (found := re.findall(pattern, lines, re.MULTILINE)))
    value = next(values, "").strip("'\"")
    reasons = ", or ".join(dict.fromkeys(_reasons(message, option)))
    if not reasons or not option:
        return reasons or " ".join(message.split())
    return f"--{option.rstrip('+')}{value and f' {value}'}: {reasons}".replace("\n", " ")


def _reasons(message: str, option: str) -> Iterator[str]:
    """Say what each line of the tree expected."""
    for line in message.splitlines():
        match = next((found for pattern in REASONS if (found := re.search(pattern, line))), None)
        groups: dict[str, Any] = {k: v for k, v in match.groupdict().items() if v} if match else {}
        if "range" in groups:
            yield f"expected a value {groups['range'].replace('v', '')}"
        elif "unknown" in groups:
            yield f"no such option: {groups['unknown']}"
        elif "required" in groups:
            yield f"missing: {option + '.' if option else ''}{groups['required']}"
        elif "missing" in groups:
            yield no_such_file(Path(groups["missing"]))
            return
        elif "type" in groups:
            name = re.sub(r"<class '([\w.]+)'>", r"\1", groups["type"]).replace("typing.", "")
            yield f"expected {TYPES.get(name, name)}"
        elif "import" in groups:
            yield "expected the name of a class"
