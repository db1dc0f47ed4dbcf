"""`board`: TensorBoard with all runs, whatever logger they had."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

Command = Callable[..., Outcome]


@pytest.mark.slow
def test_runs_of_any_logger_are_shown(fit: Command, trained: Path, tmp_path: Path) -> None:
    fit("--logger=tensorboard", "--experiment=logged")
    command = [sys.executable, "-m", "arc_light", "board", "--port=0"]
    Path("temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    board = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert board.stderr
    try:
        address = next(word for line in board.stderr for word in line.split() if word.startswith("http://"))
        tags: dict[str, dict[str, object]] = {}
        while len(tags) < 2:  # it reads them one by one
            with urllib.request.urlopen(f"{address}data/plugin/scalars/tags", timeout=30) as answer:  # noqa: S310
                tags = json.load(answer)
    finally:
        board.terminate()
        assert board.wait(30) == 143  # when TensorBoard has ended
        board.stderr.close()
    (logged,) = Path("runs/logged").iterdir()
    assert tags.keys() == {f"logged/{logged.name}", f"digits_mlp/{trained.name}"}
    assert all({"train/loss", "val/acc", "test/acc", "lr"} <= found.keys() for found in tags.values())
    assert list(Path("temporary").glob("board*")) == []
    assert not (trained / "tensorboard").exists()


def test_without_a_run_or_tensorboard_it_is_one_line(arc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = arc("board")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "runs: no run" in outcome.err
    monkeypatch.setattr("lamphouse.cli.commands.board.find_spec", lambda name: None)
    assert "make lock setup" in arc("board").err
