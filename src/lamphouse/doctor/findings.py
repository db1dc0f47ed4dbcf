"""What a check found."""

from collections.abc import Callable
from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """The result of one check."""

    kind: Literal["ok", "PROBLEM", "skipped"]  # the last where the check does not apply
    what: str
    way_out: str = ""

    def __str__(self) -> str:
        return f"{self.kind:<9}{self.what}{f': {self.way_out}' if self.way_out else ''}"


def ok(what: str) -> Finding:
    """Say what is as it should be."""
    return Finding("ok", what)


def problem(what: str, way_out: str) -> Finding:
    """Say what is not, and what to do."""
    return Finding("PROBLEM", what, way_out)


def judged(passed: bool, what: str, way_out: str) -> Finding:
    """Say what was measured, and what to do unless that is as it should be."""
    return ok(what) if passed else problem(what, way_out)


def attempt(check: Callable[[], Finding], name: str) -> Finding:
    """Make a check; one that raises an error does not apply, and says why."""
    try:
        return check()
    except Exception as error:  # of a user's code, which may raise anything
        reason = next(iter(str(error).strip().splitlines()), "")
        return Finding("skipped", f"{name} ({type(error).__name__}: {reason})")
