"""What ends a command before its end."""

from signal import SIGINT, Signals
from typing import Any


class InputError(Exception):
    """Bad input: one line that names the option or file, its value and the way out."""


class NotFiniteError(Exception):
    """A number went wrong in training: one line that says which and where.

    Args:
        message: it.
        position: the batch, where there was one.
    """

    def __init__(self, message: str, position: Any = None) -> None:
        super().__init__(message)
        self.position = position


class StoppedError(Exception):
    """A signal ended the run, which can be resumed.

    Args:
        signal: it.
    """

    def __init__(self, signal: Signals) -> None:
        super().__init__(f"stopped by {signal.name}")
        # of a Ctrl-C as in shells; else EX_TEMPFAIL of sysexits.h: try again later
        self.status = 130 if signal == SIGINT else 75
