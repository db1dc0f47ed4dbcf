"""The entry point of the command line: run a command, and end it with one line where something goes wrong."""

import errno
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from os import PathLike
from typing import Any

from lamphouse.cli.project import Project
from lamphouse.errors import InputError, LostRankError, NotFiniteError, StoppedError, did_you_mean
from lamphouse.machine import start
from lamphouse.machine.memory import out_of_memory
from lamphouse.machine.process import process_restored

COMMANDS = {
    "fit": "train a model, then test its best checkpoint",
    "resume": "continue a run, optionally up to a larger --trainer.max_epochs",
    "evaluate": "measure a run's best checkpoint on the validation and test sets",
    "sync": "upload a run that W&B recorded offline",
    "predict": "predict samples in image files, arrays (.npy, .pt) or rows of numbers (.csv)",
    "export": "write a run's model to an ONNX, torch.export or safetensors file",
    "demo": "serve a page that classifies what is drawn or dropped on it, with a run's model",
    "new": "write the files of a new model, data set, task or experiment, to begin with",
    "report": "write the page of a run: result, curves, classes and mistakes",
    "compare": "compare runs: differing options, results over seeds, and curves",
    "prune": "remove checkpoints of runs except best.ckpt and last.ckpt, after confirmation",
    "board": "show all runs in TensorBoard",
    "shards": "write an experiment's samples to disk, from where --data.shards streams them",
    "show": "print every option of an experiment, and where its value comes from",
    "doctor": "check data, model and a few steps of training before a long one",
    "tune": "find the largest batch size that fits into memory, and a learning rate to start from",
    "repeat": "train with several seeds or on the folds of a cross-validation, and summarize",
    "search": "train with many options, and write the best as an experiment",
    "completion": "print the script by which a shell completes commands and options",
    "parity": "train with every training loop and compare the results bit by bit",
}
IGNORED_WARNINGS = (
    "The dirpath has changed from",  # of a further ModelCheckpoint, when a run is evaluated
    r".*does not have many workers",  # batches of data in memory are fetched fastest without any
    r"Checkpoint directory .* exists and is not empty",  # it is the run's own
    r"The number of training batches .* is smaller than the logging interval",  # metrics are logged once an epoch
    r"ReduceLROnPlateau conditioned on metric .* but strict is set to `False`",  # the first validation is yet to come
    r"Detected pickle protocol",  # of a file that is refused
    r"\s*Unable to serialize instance",  # a default of one of Lightning's callbacks
    r"It is recommended to use `self\.log\('(\w+/\w+|lr|samples_per_second|seconds)',",  # they count every device
    r"GPU available but not used",  # another accelerator was chosen
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own call
)
LIBRARIES = ("torch", "lightning")  # whose versions matter most
NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
NOT_A_NAME = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
LONGEST_LINE = 450  # characters


def main(package: str, args: Sequence[str] | None = None) -> dict[str, float]:
    """Run a command of a project, by default that of the process's command line; return the metrics that it prints."""
    project = Project(package)
    command, *options = list(sys.argv[1:] if args is None else args) or ["--help"]
    if command in {"-h", "--help"}:
        commands = "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
        more = f"{project.program} COMMAND --help lists the options of a command."
        print(f"usage: {project.program} COMMAND ...\n\ncommands:\n{commands}\n\n{more}")
        return {}
    if command == "--version":
        print(f"{package} {_version(package)}, " + ", ".join(f"{name} {_version(name)}" for name in LIBRARIES))
        return {}
    try:
        return _run(project, command, options)
    except BrokenPipeError:  # of `| head`
        raise
    except (Exception, KeyboardInterrupt) as error:
        message, status = _message_and_status(error)
        if message is None and isinstance(error, Exception):
            messages = import_module("lamphouse.cli.checks.messages")
            message, status = messages.library_error(error, project.directory), 2
        if message is None or os.environ.get("LAMPHOUSE_TRACEBACK"):
            raise
        if _tells(project, error):
            print(_one_line(f"{package} {command}: {message}"), file=sys.stderr)
        raise SystemExit(status) from error


def train(package: str, *files: PathLike[str] | str, **options: Any) -> dict[str, Any]:
    """Train as the command `fit` of a project does, leave the process as it was, and return run and metrics.

    Args:
        package: of the project.
        *files: YAML files of options.
        **options: further ones, such as `trainer={"max_epochs": 3}` or `**{"model.optimizer.lr": 0.1}`.

    Raises:
        InputError: an option is wrong; no run is left behind.
        StoppedError: a signal or an interrupt ended the run, which can be resumed.
    """
    args = [*chain.from_iterable(("-c", str(file)) for file in files), *_as_arguments(options)]
    with process_restored(), _quiet_libraries():
        project = Project(package)
        if project.job.size > 1:
            started = f"{project.job.launcher} has started {project.job.size} processes"
            raise InputError(f"train: {started}, which only the command fit trains together")
        run, metrics = import_module("lamphouse.cli.commands.fit").train_new(project, args)
    return {"run": str(run.path), **metrics}


def _as_arguments(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping) and "class_path" not in value:
            yield from _as_arguments({f"{name}.{key}": part for key, part in value.items()})
        else:
            yield f"--{name}={value if isinstance(value, str) else json.dumps(value, default=str)}"


def _version(package: str) -> str:
    metadata = import_module("importlib.metadata")  # late: it would take a third of the time of --help
    try:
        return str(metadata.version(package))
    except metadata.PackageNotFoundError:
        return "that is not installed"


def _tells(project: Project, error: BaseException) -> bool:
    """Return whether this process is to print the error, and no other of the same run prints it."""
    if isinstance(error, KeyboardInterrupt) and start.has_launcher():
        return False
    return not error.is_told if isinstance(error, StoppedError | LostRankError) else project.reports()


def _message_and_status(error: BaseException) -> tuple[str | None, int]:  # noqa: PLR0911  # one for each kind
    error = error.__cause__ if isinstance(error.__cause__, UnicodeEncodeError) else error
    match error:
        case StoppedError() | LostRankError():
            return "; ".join([str(error), *getattr(error, "__notes__", ())]), error.status
        case KeyboardInterrupt():
            return "interrupted", 130
        case InputError() | NotFiniteError():
            return str(error), 2
        case MemoryError() | RuntimeError() if out_of_memory(error):
            return "out of memory: use a smaller --data.batch_size, less data or a smaller model", 2
        case OSError() if error.errno in NOT_WRITABLE | NOT_A_NAME:
            way_out = "free some space there, or write elsewhere with --runs"
            return f"{error.filename or 'the disk'}: {error.strerror}: {way_out}", 2
        case UnicodeEncodeError(object=text):
            return f"{text}: cannot be written in this locale: set PYTHONUTF8=1, or a locale with UTF-8", 2
    return None, 1  # no user can do anything about it


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE * 2 // 3]} ... {line[-LONGEST_LINE // 3 :]}"


def _run(project: Project, command: str, options: Sequence[str]) -> dict[str, float]:
    if command not in COMMANDS:
        raise InputError(f"no such command; there are {', '.join(COMMANDS)}{did_you_mean(command, COMMANDS)}")
    with start.without_collector():
        command_main = import_module(f"lamphouse.cli.commands.{command}").main
    project.meet(command)
    with _quiet_libraries():
        return command_main(project, options) or {}


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of an image that is refused, or read all the same
        yield
