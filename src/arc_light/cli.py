"""The command line: `python -m arc_light COMMAND ...`."""

import errno
import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from arc_light.errors import InputError

COMMANDS = {
    "fit": "train an experiment, then test its best checkpoint",
    "resume": "continue a run, up to a larger --trainer.max_epochs",
    "evaluate": "measure a run's best checkpoint on the validation and test images",
    "predict": "tell the classes of image files",
    "parity": "train an experiment by three loops, and compare every bit",
}
NOISE = (
    r".*does not have many workers",  # images in memory are fetched fastest without any
    r"Checkpoint directory .* exists and is not empty",  # it is the run's own
    r"The number of training batches .* is smaller than the logging interval",  # metrics are logged once an epoch
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own call
)
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}  # full, or not to be written
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
        SystemExit: with status 2 for bad input, after one line on stderr; with 130 when interrupted.
    """
    command, *options = list(sys.argv[1:] if args is None else args) or ["--help"]
    if command in {"-h", "--help"}:
        print(HELP, end="")
        return
    try:
        run(command, options)
    except KeyboardInterrupt as interrupt:
        print(f"arc_light {command}: interrupted{interrupt}", file=sys.stderr)
        raise SystemExit(130) from interrupt
    except InputError as error:
        print(f"arc_light {command}: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except OSError as error:
        if error.errno not in DISK:
            raise
        way_out = "free some space there, or write elsewhere with --runs"
        message = f"{error.filename or 'the disk'}: {error.strerror}: {way_out}"
        print(f"arc_light {command}: {message}", file=sys.stderr)
        raise SystemExit(2) from error


def run(command: str, options: Sequence[str]) -> None:
    """Import and run a command, without what its libraries say that helps no user.

    Raises:
        InputError: there is no such command, or it got bad input.
    """
    if command not in COMMANDS:
        raise InputError(f"no such command; there are {', '.join(COMMANDS)}")
    main = import_module(f"arc_light.commands.{command}").main
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in NOISE:
            warnings.filterwarnings("ignore", message)
        main(options)
