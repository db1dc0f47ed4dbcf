"""The entry point of the command line: run a command, and end it with one line where something goes wrong."""

import errno
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn

from lamphouse.cli.project import Project
from lamphouse.errors import InputError, NotFiniteError, StoppedError
from lamphouse.machine import start
from lamphouse.machine.memory import out_of_memory

COMMANDS = {
    "fit": "train a model, then test its best checkpoint",
    "resume": "continue a run, optionally up to a larger --trainer.max_epochs",
    "evaluate": "measure a run's best checkpoint on the validation and test sets",
    "predict": "classify image files",
    "tune": "find the largest batch size that fits into memory, and a learning rate to start from",
    "parity": "train with every training loop and compare the results bit by bit",
}
IGNORED_WARNINGS = (
    r".*does not have many workers",  # batches of data in memory are fetched fastest without any
    r"Checkpoint directory .* exists and is not empty",  # it is the run's own
    r"The number of training batches .* is smaller than the logging interval",  # metrics are logged once an epoch
    r"Detected pickle protocol",  # of a file that is refused
    r"\s*Unable to serialize instance",  # a default of one of Lightning's callbacks
    r"It is recommended to use `self\.log\('(\w+/\w+|lr|images_per_second|seconds)',",  # they count every device
    r"GPU available but not used",  # another accelerator was chosen
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own call
)
NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
NOT_A_NAME = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
LONGEST_LINE = 450  # characters


def main(package: str, args: Sequence[str] | None = None) -> dict[str, float]:
    """Run a command.

    Args:
        package: the project whose models, data sets and loops the command uses.
        args: the command and its options; None takes them from the process's command line.

    Returns:
        The metrics that the command printed at its end, by name; empty where it prints none.

    Raises:
        SystemExit: after one line on stderr, with status 2 for bad input, numbers that are not finite or too little
            memory; with 130 after Ctrl-C and 75 after another signal that asked the process to stop.
    """
    project = Project(package)
    command, *options = list(sys.argv[1:] if args is None else args) or ["--help"]
    if command in {"-h", "--help"}:
        print(help_text(project), end="")
        return {}
    with one_line_errors(f"{package} {command}"):
        return run(project, command, options)


def help_text(project: Project) -> str:
    """List the commands."""
    commands = "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
    more = f"{project.program} COMMAND --help lists the options of a command."
    return f"usage: {project.program} COMMAND ...\n\ncommands:\n{commands}\n\n{more}\n"


@contextmanager
def one_line_errors(prefix: str) -> Iterator[None]:
    """Turn the errors that a user can do something about into one line and an exit status; a bug keeps its traceback.

    Raises:
        SystemExit: there was such an error.
    """
    try:
        yield
    except StoppedError as stop:
        leave(prefix, "; ".join([str(stop), *stop.__notes__]), stop, stop.status)
    except KeyboardInterrupt as interrupt:
        leave(prefix, "interrupted", interrupt, 130)
    except (InputError, NotFiniteError) as error:
        leave(prefix, str(error), error)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        leave(prefix, "out of memory: use less data or a smaller model", error)
    except OSError as error:
        if error.errno not in NOT_WRITABLE | NOT_A_NAME:
            raise
        way_out = "free some space there, or write elsewhere with --runs"
        leave(prefix, f"{error.filename or 'the disk'}: {error.strerror}: {way_out}", error)


def leave(prefix: str, message: str, cause: BaseException, status: int = 2) -> NoReturn:
    """Print the line and exit.

    Raises:
        SystemExit: always.
    """
    print(one_line(f"{prefix}: {message}"), file=sys.stderr)
    raise SystemExit(status) from cause


def one_line(message: str) -> str:
    """Put a message on one line without control characters, shortened in the middle if it is long."""
    line = " ".join(message.split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE * 2 // 3]} ... {line[-LONGEST_LINE // 3 :]}"


def run(project: Project, command: str, options: Sequence[str]) -> dict[str, float]:
    """Import and run a command, without the warnings that do not help a user.

    Raises:
        InputError: there is no such command, or its input is wrong.
    """
    if command not in COMMANDS:
        raise InputError(f"no such command; there are {', '.join(COMMANDS)}")
    with start.without_collector():
        command_main = import_module(f"lamphouse.cli.commands.{command}").main
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of an image that is refused, or read all the same
        return command_main(project, options) or {}
