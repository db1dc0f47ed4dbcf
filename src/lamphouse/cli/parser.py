"""The parser of options and YAML files: jsonargparse, with errors of one line."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import get_loader, set_loader, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser

from lamphouse.cli.strict_yaml import MOST_BYTES, check_yaml, read
from lamphouse.cli.superseded import last_logger, without_superseded_logger
from lamphouse.errors import InputError

REASONS = (
    r"does not conform to restriction (?P<range>.+?)(?:\. Got value: .*)?$",
    r"Not of type \w+: (?:invalid literal for|could not convert string to) (?P<type>int|float)",
    r"Option '(?P<unknown>[^']+)' is not accepted",
    r"unrecognized arguments?: (?P<unknown>.+)",
    r"the following arguments are required: (?P<required>.+)",
    r"Expected a path but (?P<missing>\S+\.ya?ml) either",
    r"Expected a (?P<type>(?!path |dot import|<class 'NoneType'>).+?)(?:\. Got value: .*)?$",
    r"(?P<denied>Importing '\S+' is not allowed)",
    r"(?:correspond to|to be) a subclass of (?:<class ')?(?P<base>\w+)",
    r"(?P<import>Expected a dot import path string|Not a valid subclass of|expects a function or a callable class)",
    r"(?P<absent>No module named|has no attribute|keyword argument 'linked_targets')",  # the last: a function
    r"Not of type \w+: (?P<type>int|float)\(\) argument",
    r"(?P<mapping>Unable to load config)",
)
VALUES = (  # where jsonargparse says what was given, the most telling first
    r"Given value: NestedArg\(key='[^']*', val=(.*)\)$",
    r"Given value: (?!NestedArg|Namespace|\{)(.*)$",
    r"Got value: (?!Namespace)(.*)$",
    r"(?:with base 10|string to float): (.*)$",
    r": (\S+) does not conform to restriction",
)
SAID = {
    "denied": "expected the name of a class, and of none that comes with Python",
    "import": "expected the name of a class",
    "absent": "expected the name of a class",
    "mapping": "expected options, or a YAML file of them",
}
TYPES = {"collections.abc.Sequence": "list", "collections.abc.Iterable": "list", "dict": "mapping", "str": "text"}


class ExperimentParser(LightningArgumentParser):
    """A parser that raises an `InputError` of one line instead of printing its usage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        restrict_jsonargparse()
        super().__init__(*args, **kwargs)
        self.last_logger: str | None = None

    def parse_args(self, args: Sequence[str], *others: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # the base takes deprecated arguments, too
        """Parse options, and files among them."""
        self.last_logger = last_logger(args)
        return super().parse_args(args, *others, **kwargs)

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Any:
        """Parse the content of a file of options."""
        return super().parse_string(without_superseded_logger(content, self.last_logger), *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what is wrong; parsers of nested options hand it to the outer one."""
        if not self.exit_on_error:
            super().error(message, ex)
        cause = reason(ex) if ex else ""
        raise InputError(f"{explain(message, cause)}; see --help for every option") from ex


@cache
def restrict_jsonargparse() -> None:
    """Have jsonargparse import nothing of Python's own, build nothing where any value may stand, and read strictly.

    Naming a module imports it, and so runs it; no model, data set or callback is in those of Python itself.
    """
    set_parsing_settings(
        import_path_denylist=sorted(sys.stdlib_module_names),
        instantiate_subclass_spec_in_any=False,
    )
    load = get_loader("yaml")

    def load_strictly(text: str) -> Any:
        check_yaml(text)
        return load(text)

    set_loader("yaml", load_strictly, exceptions=(yaml.YAMLError, ValueError))


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
        if path.stat().st_size > MOST_BYTES or not path.is_file():
            raise InputError(f"--config {path}: not a file of at most {MOST_BYTES:,} bytes")
        options = read(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"--config {path}: {no_such_file(path)}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"--config {path}: not a readable YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(options, dict) or not options:
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
        elif "base" in groups:
            yield f"expected the name of a class of {groups['base']}s"
        else:
            yield from (text for name, text in SAID.items() if name in groups)
