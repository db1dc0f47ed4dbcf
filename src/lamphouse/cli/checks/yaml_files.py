"""YAML files of options, read strictly: no duplicate keys, no endless aliases, no files that swell in memory."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lamphouse.errors import InputError, did_you_mean
from lamphouse.files import user_path

MOST_BYTES = 2**20  # of a file
MOST_VALUES = 10_000  # aliases followed
MOST_LEVELS = 30  # of nested mappings and lists
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
OF_A_CLASS = {"class_path", "init_args", "dict_kwargs"}  # keys of a class and its options
RESERVED = ("$", "__")  # prefixes of jsonargparse's own keys, which it skips without a word


def yaml_files(args: Sequence[str]) -> dict[Path, dict[str, Any]]:
    """Read the YAML files among the options."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config", action="append", type=user_path, default=[])
    try:
        paths = parser.parse_known_args(args)[0].config
    except InputError as error:
        raise InputError(f"--config {error}") from error
    except argparse.ArgumentError as error:
        raise InputError(f"{error}; see --help for every option") from error
    return {path: read_file(path) for path in paths}


def read_file(path: Path) -> dict[str, Any]:
    """Read a YAML file of options."""
    try:
        if path.stat().st_size > MOST_BYTES or not path.is_file():
            raise InputError(f"--config {path}: no file, or one of more than {MOST_BYTES:,} bytes: name a YAML file")
        options = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"--config {path}: {no_such_file(path)}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).replace(' in "<unicode string>",', "").split())
        raise InputError(f"--config {path}: not a readable YAML file: {reason}") from error
    if not isinstance(options, dict) or not options:
        raise InputError(f"--config {path}: not a YAML file of options, such as `trainer: {{max_epochs: 3}}`")
    for name, key in _misplaced(options):
        raise InputError(f"--config {path}: {name}{key}: options of a class go one level below: {name}init_args.{key}")
    return options


def _misplaced(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield where a class has options beside its init_args."""
    if isinstance(value, Mapping):
        if OF_A_CLASS & value.keys():
            yield from ((name, key) for key in value.keys() - OF_A_CLASS)
        for key, part in value.items():
            yield from _misplaced(part, f"{name}{key}.")
    elif isinstance(value, list):
        for part in value:
            yield from _misplaced(part, name)


def no_such_file(path: Path) -> str:
    """List the YAML files that exist instead."""
    others = sorted(other.name for other in path.parent.glob("*.yaml"))
    known = [str(other) for folder in (path.parent, path.parent.parent) for other in folder.glob("*/*.yaml")]
    known = [str(path.with_name(name)) for name in others] + known
    there_are = f"; there are {', '.join(others)}" if others else ", nor another YAML file in its folder"
    return f"no such file{there_are}{did_you_mean(str(path.with_suffix('.yaml')), known)}"


def read_yaml(text: str) -> Any:
    """Read YAML that passes `check_yaml`: the result of `yaml.safe_load`, several times as fast."""
    check_yaml(text)
    return yaml.load(text, LOADER)  # noqa: S506  # a safe loader


def check_yaml(text: str) -> None:
    """Refuse YAML with duplicate keys, too many levels or too many values, aliases followed, by a `yaml.YAMLError`."""
    _check_levels(text)
    nodes: list[tuple[Any, int]] = [(yaml.compose(text, LOADER), 0)]
    count = 0
    while nodes:
        node, level = nodes.pop()
        count += 1
        if count > MOST_VALUES or level > MOST_LEVELS:
            raise yaml.YAMLError(f"more than {MOST_VALUES:,} values or {MOST_LEVELS} levels")
        if isinstance(node, yaml.MappingNode):
            _check_duplicates(node)
            nodes += [(part, level + 1) for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            nodes += [(part, level + 1) for part in node.value]


def _check_levels(text: str) -> None:
    level = 0  # counted without building the document, for which libyaml would overflow the stack
    for event in yaml.parse(text, LOADER):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MOST_LEVELS:
            raise yaml.YAMLError(f"more than {MOST_LEVELS} levels")


def _check_duplicates(mapping: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in mapping.value:
        if key.tag not in {TEXT, MERGE} or key.value.startswith(RESERVED):
            raise yaml.MarkedYAMLError(problem=f"{key.value!r} is not an option", problem_mark=key.start_mark)
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
        seen.add(key.value)
