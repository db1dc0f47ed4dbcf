"""Errors that end a command with one line, and the commands that they recommend."""

import shlex
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from os.path import relpath
from pathlib import Path
from signal import SIGINT, Signals
from typing import Any


class InputError(Exception):
    """Invalid input: one line that names the option or file, the problem, and the way out."""

    not_in_this_loop: str | None = None  # the problem, if another training loop is the way out

    def _render_traceback_(self) -> list[str]:
        return [f"InputError: {self}"]  # what notebooks show


def unsupported(reason: str, way_out: str = "use --loop automatic") -> InputError:
    """Make an error about what a training loop does not support, but Trainer.fit does."""
    error = InputError(f"{reason}: {way_out}")
    error.not_in_this_loop = reason
    return error


class NotFiniteError(Exception):
    """A loss or gradient is nan or infinite, at the position of a batch if there was one."""

    def __init__(self, message: str, position: Any = None) -> None:
        super().__init__(message)
        self.position = position


class StoppedError(Exception):
    """A signal ended the run, which can be resumed."""

    is_told = False  # by another process of the run

    def __init__(self, signal: Signals) -> None:
        super().__init__(f"stopped by {signal.name}")
        self.signal = signal
        # 130: what shells report after Ctrl-C; 75: EX_TEMPFAIL of sysexits.h, try again later
        self.status = 130 if signal == SIGINT else 75


class LostRankError(Exception):
    """Another process of the run has ended before its time, without which this one cannot go on."""

    status = 1
    is_told = False  # as above


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Ask for the known word that is closest to this one, if any is close."""
    close = get_close_matches(word, sorted(set(known)), 1)
    return f"; did you mean {close[0]}?" if close else ""


def python_command(*args: object) -> str:
    """Write a command of this Python that can be pasted into a shell, in the working directory."""
    return shlex.join([short_path(Path(sys.executable)), *(str(arg) for arg in args)])


def short_path(path: Path) -> str:
    """Write a path relative to the working directory if it is below it, and absolute otherwise."""
    path, here = path.absolute(), Path.cwd()
    return relpath(path) if path.is_relative_to(here) else str(path)
