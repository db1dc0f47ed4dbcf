"""Input by the thousand: how it is tried, what must hold of every try, and strategies for what users give."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conftest import Outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

MARKER = "PWNED"  # the file that code from an input would make
TOUCH = f"touch {MARKER}"
LONGEST = 500  # characters of a line on stderr


def tries(examples: int, check: Callable[..., None], **strategies: SearchStrategy[Any]) -> None:
    """Try so many examples, the same ones each time, and leave no file behind."""
    checks = list(HealthCheck)
    how = settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=checks)
    how(given(**strategies)(check))()


def assert_clear(outcome: Outcome, *names: str) -> None:
    """It succeeded, or one line on stderr says why not; nothing of the input was run.

    Args:
        outcome: of a command.
        names: one of which the line has.
    """
    assert not Path(MARKER).exists()
    assert outcome.status in {0, 2}, outcome
    if outcome.status == 2:
        assert outcome.err.count("\n") == 1, outcome.err
        assert outcome.err.endswith("\n")
        assert outcome.err[:-1].isprintable()
        assert len(outcome.err) <= LONGEST
        assert not names or any(name in outcome.err for name in names), outcome.err


def assert_refused(outcome: Outcome, *names: str) -> None:
    """One line on stderr says why."""
    assert_clear(outcome, *names)
    assert outcome.status == 2, outcome


def taken(given: Any, resolved: Any) -> bool:
    """Tell whether the value that was given is what the run's configuration has."""
    if isinstance(given, Mapping):
        return isinstance(resolved, Mapping) and all(taken(part, at(resolved, key)) for key, part in given.items())
    if isinstance(given, list):
        return isinstance(resolved, list) and len(given) == len(resolved) and all(map(taken, given, resolved))
    if isinstance(given, str) and isinstance(resolved, Mapping):
        return str(resolved.get("class_path", "")).endswith(given)
    if isinstance(given, str) and isinstance(resolved, str):
        return resolved.endswith(given)
    return bool(given == resolved or str(given) == str(resolved) or as_number(given) == as_number(resolved))


def at(config: Any, key: str) -> Any:
    """Look up an option by its name with dots."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def as_number(value: Any) -> float | object:
    """Read a number, of which text is one form; what is none equals nothing."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return object()


def forget_runs() -> None:
    """Remove what a try wrote."""
    shutil.rmtree("runs", ignore_errors=True)


def damaged(content: bytes) -> SearchStrategy[bytes]:
    """Draw the file cut short, with bytes changed, with a part of zeros, or replaced."""
    places = st.integers(0, max(len(content) - 1, 0))
    changes = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)
    cut = places.map(lambda length: content[:length])
    changed = changes.map(lambda pairs: replaced(content, pairs))
    zeroed = places.map(
        lambda start: content[:start] + bytes(len(content[start : start + 512])) + content[start + 512 :]
    )
    return st.one_of(
        changed, cut, zeroed, st.binary(max_size=400), st.binary(max_size=40).map(lambda end: content + end)
    )


def replaced(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Change single bytes."""
    result = bytearray(content)
    for place, value in changes:
        result[place] = value
    return bytes(result)


SPECIAL = (
    *("", " ", "-", "--", "=", "..", ".", "~", "null", "true", "no", "0", "-1", "1", "1e400", "-0.0", ".nan", ".inf"),
    *("-.inf", "nan", "inf", "0x10", "0o7", "1_000", "1:30", "9" * 30, "9" * 5000, "1e-400", "2001-01-01", "auto"),
    *("[]", "{}", "[[", "{", "[1, 2]", "{a: 1, a: 2}", "&a [*a]", "[" * 40 + "]" * 40, "[" * 200_000, "!!binary aGk="),
    *("a\nb", "\x1b[2J", "\0", "\u202eabc", "\ud800", "é", "😀", "x" * 10_000, "../../up", "~root", "$HOME", "%s{0}"),
    *(
        "os",
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "torch.load",
        "torch.nn.Linear",
        "torch",
        "no.such.Class",
    ),
    f"!!python/object/apply:os.system ['{TOUCH}']",
    json.dumps({"class_path": "os.system", "init_args": {"command": TOUCH}}),
    json.dumps({"class_path": "subprocess.Popen", "init_args": {"args": TOUCH.split()}}),
    json.dumps([{"class_path": "subprocess.Popen", "init_args": {"args": TOUCH.split()}}]),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
VALUES: SearchStrategy[str] = st.one_of(
    st.sampled_from(SPECIAL),
    st.text(max_size=20),
    st.integers().map(str),
    st.integers(-3, 40).map(str),
    st.floats().map(str),
    NESTED.map(json.dumps),
)
