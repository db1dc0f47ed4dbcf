"""Options of the commands that work on a run."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lamphouse.cli.project import Project
from lamphouse.errors import InputError
from lamphouse.runs.directory import Run, find_run


class OptionParser(argparse.ArgumentParser):
    """A parser of few options that knows `--run` and raises instead of printing its usage."""

    def __init__(self, project: Project, command: str, description: str) -> None:
        program = f"{project.program} {command}"
        super().__init__(program, description=description, allow_abbrev=False)
        self.add_argument(
            "--run",
            type=Path,
            default=Path("runs"),
            help="directory of a run, or one of runs, of which the newest is taken",
        )

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong."""
        raise InputError(f"{message}; see --help for every option")


def checkpoint_path(run: Run, name: str) -> Path:
    """Locate a checkpoint of the run by its name, or any by its path."""
    return run.path / f"{name}.ckpt" if name in {"best", "last"} else Path(name)


def run_and_rest(parser: OptionParser, args: Sequence[str]) -> tuple[argparse.Namespace, Run, list[str]]:
    """Parse the command's options, find its run, and return what is left for the experiment."""
    options, rest = parser.parse_known_args(args)
    return options, find_run(options.run), rest
