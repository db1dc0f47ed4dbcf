"""Run the command line: `python -m arc_light COMMAND ...`."""

from collections.abc import Sequence

from lamphouse.cli import main as run_command
from lamphouse.machine import run


def main(args: Sequence[str] | None = None) -> dict[str, float]:
    """Run a command, by default that of the process's own command line, and return the metrics that it printed."""
    return run_command("arc_light", args)


def start() -> None:
    """Run the process's own command."""
    run(main)


if __name__ == "__main__":
    start()
