"""The command line: `python -m arc_light COMMAND ...`."""

import errno
import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from lamphouse.errors import InputError, NotFiniteError, StoppedError
from lamphouse.machine import start
from lamphouse.machine.memory import out_of_memory

COMMANDS = {
    "fit": "train an experiment, then test its best checkpoint",
    "resume": "continue a run, up to a larger --trainer.max_epochs",
    "evaluate": "measure a run's best checkpoint on the validation and test images",
    "predict": "tell the classes of image files",
    "tune": "find the largest batch size that fits, and a learning rate to try",
    "parity": "train an experiment by three loops, and compare every bit",
}
NOISE = (
    r".*does not have many workers",  # images in memory are fetched fastest without any
    r"Checkpoint directory .* exists and is not empty",  # it is the run's own
    r"The number of training batches .* is smaller than the logging interval",  # metrics are logged once an epoch
    r"Detected pickle protocol",  # of a file that is refused
    r"\s*Unable to serialize instance",  # a default of one of Lightning's callbacks
    r"It is recommended to use `self\.log\('(\w+/(loss|acc)|lr|images_per_second|seconds)',",  # they count every device
    r"GPU available but not used",  # another accelerator was chosen
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own call
)
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}  # full, or not to be written
NAMES = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}  # that no file can have
LONGEST = 450  # characters of a line of an error
HELP = f"""usage: python -m arc_light COMMAND ...

commands:
{chr(10).join(f"  {name:<10}{text}" for name, text in COMMANDS.items())}

python -m arc_light COMMAND --help lists the options of a command.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        args: the command and its options; None takes them from the command line.

    Raises:
        SystemExit: with status 2 for bad input, numbers that are not finite or too little memory, after one line on
            stderr; with 130 or, when another signal than that of Ctrl-C asked to stop, 75.
    """
    command, *options = list(sys.argv[1:] if args is None else args) or ["--help"]
    if command in {"-h", "--help"}:
        print(HELP, end="")
        return
    try:
        run(command, options)
    except StoppedError as stop:
        print(f"arc_light {command}: {'; '.join([str(stop), *stop.__notes__])}", file=sys.stderr)
        raise SystemExit(stop.status) from stop
    except KeyboardInterrupt as interrupt:
        print(f"arc_light {command}: interrupted", file=sys.stderr)
        raise SystemExit(130) from interrupt
    except (InputError, NotFiniteError) as error:
        print(one_line(f"arc_light {command}: {error}"), file=sys.stderr)
        raise SystemExit(2) from error
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        way_out = "use less data or a smaller model"
        print(f"arc_light {command}: out of memory: {way_out}", file=sys.stderr)
        raise SystemExit(2) from error
    except OSError as error:
        if error.errno not in DISK | NAMES:
            raise
        way_out = "free some space there, or write elsewhere with --runs"
        message = f"{error.filename or 'the disk'}: {error.strerror}: {way_out}"
        print(one_line(f"arc_light {command}: {message}"), file=sys.stderr)
        raise SystemExit(2) from error


def one_line(message: str) -> str:
    """Put a message on one line, its beginning and end where it is long, with nothing in it that moves a cursor."""
    line = " ".join(message.split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST * 2 // 3]} ... {line[-LONGEST // 3 :]}"


def run(command: str, options: Sequence[str]) -> None:
    """Import and run a command, without what its libraries say that helps no user.

    Raises:
        InputError: there is no such command, or it got bad input.
    """
    if command not in COMMANDS:
        raise InputError(f"no such command; there are {', '.join(COMMANDS)}")
    with start.without_collector():
        start.load_late()
        main = import_module(f"lamphouse.cli.commands.{command}").main
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in NOISE:
            warnings.filterwarnings("ignore", message)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of an image that is refused, or read all the same
        main(options)
