"""A logger that a file names and an option replaces: it is not looked at, since W&B takes half a second to look at."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from lamphouse.cli.strict_yaml import MOST_BYTES, read

OPTION = "--trainer.logger"
UNREADABLE = (AttributeError, KeyError, OSError, TypeError, ValueError, yaml.YAMLError)  # the parser will say so


def last_logger(args: Sequence[str]) -> str | None:
    """Name the class of the logger among the options after the last file, if there is one."""
    found = None
    for arg, following in zip(args, [*args, ""][1:], strict=True):
        name, equals, value = arg.partition("=")
        if name in {"-c", "--config"}:
            found = None
        elif name == OPTION:
            found = value if equals else following
    with suppress(*UNREADABLE):
        return class_name(read(found)) if found else None
    return None


def without_superseded_logger(content: str, logger: str | None) -> str:
    """Take a logger of another class out of the content of a file of options."""
    with suppress(*UNREADABLE):
        options = read(content)
        if logger not in {None, class_name(options["trainer"]["logger"])}:
            del options["trainer"]["logger"]
            return str(yaml.safe_dump(options, sort_keys=False))
    return content


def class_name(logger: Any) -> str:
    """Name a logger's class, which is given by itself, with its options or in a file."""
    if isinstance(logger, str) and logger.endswith((".yaml", ".yml")):
        with Path(logger).open(encoding="utf-8") as file:
            logger = read(file.read(MOST_BYTES))
    return str(logger["class_path"] if isinstance(logger, dict) else logger).rpartition(".")[2]
