"""The command prune: what goes is listed first, and what is needed stays."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def kept(trained: Path) -> list[Path]:
    """Keep two further checkpoints, and list what can go."""
    (trained / "checkpoints").mkdir()
    further = [trained / "checkpoints" / f"epoch={epoch}-step=9.ckpt" for epoch in range(2)]
    for path in further:
        shutil.copy(trained / "best.ckpt", path)
    return [trained / "previous.ckpt", *further]


def test_what_goes_is_listed_before_it_is_removed(arc: Command, trained: Path, kept: list[Path]) -> None:
    asked = arc("prune", "runs")
    assert (asked.status, asked.err.count("\n")) == (2, 1)
    assert "--yes: is needed without a terminal to remove these 3 files" in asked.err
    assert all(str(path) in asked.out and path.exists() for path in kept)
    done = arc("prune", "runs", trained, "--yes")
    assert (done.status, done.err) == (0, "")
    assert "removed 3 files" in done.out
    assert not any(path.exists() for path in kept)
    assert arc("evaluate", "--run", trained).status == 0
    assert "nothing to remove" in arc("prune", "runs", "--yes").out
    assert arc("prune", "runs", "--yes", "--also", "last").status == 0
    assert not (trained / "last.ckpt").exists()
    assert (trained / "best.ckpt").exists()


def test_the_answer_no_removes_nothing(arc: Command, kept: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert arc("prune", "runs").out.endswith("nothing is removed\n")
    assert all(path.exists() for path in kept)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert "removed 3 files" in arc("prune", "runs").out


@pytest.mark.parametrize("why", ["best.ckpt", "last.ckpt", "trains"])
def test_a_run_that_is_trained_or_damaged_is_left_alone(
    arc: Command, trained: Path, kept: list[Path], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "trains":

        def refuse(*args: object) -> None:
            raise BlockingIOError

        monkeypatch.setattr("fcntl.lockf", refuse)  # as another process's lock has it
    else:
        (trained / why).write_bytes(b"")
    done = arc("prune", "runs", "--yes")
    assert done.status == 0
    assert "note: left alone: " in done.err
    assert all(path.exists() for path in kept)
