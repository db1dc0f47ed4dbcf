"""Searches, with a program of milliseconds in the place of a training."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import searched

from lamphouse.errors import InputError

pytest.importorskip("optuna", reason="make extra EXTRA=search installs what is tested here")

from lamphouse.search import (  # which needs Optuna
    Search,
    Space,
    as_arguments,
    explaining_storage,
    made,
    open_study,
    trials,
    write_page,
    write_trials,
)
from lamphouse.search import study as study_module

X = {"low": 0, "high": 10, "step": 1}


def search(
    options: Mapping[str, Any], sampler: str = "RandomSampler", pruner: str = "NopPruner", url: str | None = None
) -> Search:
    study = open_study(Path("search"), "search", "min", {"options": options}, url)
    study.pruner = made("pruner", pruner)
    space = Space(options)

    def command(trial: Path, values: Mapping[str, Any]) -> list[str] | None:
        if (trial / "done").exists():
            return None
        return [sys.executable, "-S", searched.__file__, *as_arguments({**values, "runs": str(trial)})]

    def make(number: int) -> Any:
        return made("sampler", sampler, seed=number)

    return Search(study, Path("search"), space, "val/loss", command, make, bool(url))


def rows(searching: Search) -> list[dict[str, str]]:
    write_trials(Path("trials.csv"), searching.study, "val/loss")
    with Path("trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"low": 2, "high": 1}, "upside down: give low 1 and high 2"),
        ({"low": 0, "high": 1, "log": True}, "a logarithmic scale begins above 0"),
        ({"low": -1.0, "high": 1.0, "log": True}, "a logarithmic scale begins above 0"),
        ({"low": 1, "hihg": 2}, "did you mean high?"),
        ({"low": 1}, "high: is missing"),
        ({"low": "a", "high": 2}, "low 'a': expected a number"),
        ({"low": 0, "high": float("inf")}, "high inf: expected a number"),
        ({"low": 0, "high": 10, "step": 3}, "not divisible by"),
        ({"low": 1, "high": 10, "step": 2, "log": True}, "step"),
        ({"low": 0, "high": 10, "step": 0}, "step"),
        ({"low": 1, "high": 2, "log": "yes"}, "log yes: expected true or false"),
        ({"choices": []}, "expected a list of choices"),
        ({"choices": [1, [2], [2]]}, "is there twice"),
        ({"choices": [1], "low": 0}, "nothing else"),
        (3, "none is searched"),
    ],
)
def test_what_is_no_range(spec: Any, message: str) -> None:
    with pytest.raises(InputError, match=r"^options") as error:
        Space({"x": spec})
    assert message in str(error.value)


def test_values_reach_the_program_as_they_are_written() -> None:
    space = Space({"a": {"choices": [None, True, [1, 2], "text"]}, "b": {"low": "1e-3", "high": 1}, "c": [3]})
    corners = [as_arguments(values) for values in space.corners()]
    assert corners[0] == ["--a=null", "--b=0.001", "--c=[3]"]
    assert [arguments[0] for arguments in corners[1:]] == ["--a=true", "--a=[1, 2]", "--a=text"]
    assert space.values({"a": "[1, 2]", "b": 0.5}) == {"a": [1, 2], "b": 0.5, "c": [3]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("TPESample", "did you mean TPESampler?"),
        ({"class_path": "TPESampler", "init_args": {"sed": 1}}, "did you mean seed?"),
        ({"class_path": "optuna.samplers.TPESampler", "init_args": {"n_startup_trials": -1}}, ""),
        ([1], "expected a name"),
    ],
)
def test_what_is_no_sampler(spec: Any, message: str) -> None:
    if message:
        with pytest.raises(InputError, match=r"^sampler") as error:
            made("sampler", spec)
        assert message in str(error.value)
    else:
        assert type(made("sampler", spec)).__name__ == "TPESampler"


def test_trials_complete_crash_and_diverge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(trials, "POLL", 0.01)
    searching = search({"x": 3, "fail": {"choices": ["no", "crash", "nan"]}}, sampler="BruteForceSampler")
    searching.run(9, workers=3)  # the sampler ends it after three
    table = rows(searching)
    assert [(row["state"], row["fail"]) for row in table[:1]] == [("complete", "no")]
    assert float(table[0]["val/loss"]) == pytest.approx(1 / 3)
    assert table[0]["epoch"] == "2"
    errors = {row["fail"]: row["error"] for row in table if row["state"] == "fail"}
    assert errors["crash"] == "RuntimeError: it crashed at x=3.0"
    assert errors["nan"].startswith("no value of val/loss that is a finite number; there are: epoch, val/loss")
    assert len(table) == 3
    assert "failed" in capsys.readouterr().out
    with pytest.raises(InputError, match="begun with other values of options"):
        search({"x": X})


@pytest.mark.slow
def test_a_bad_trial_is_pruned_and_asked_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "POLL", 0.01)
    options = {"x": {"low": 0, "high": 50}, "epochs": 40, "sleep": 0.05}
    searching = search(options, pruner="SuccessiveHalvingPruner")
    searching.run(6, workers=3)
    table = rows(searching)
    assert table[0]["state"] == "complete"
    assert {row["state"] for row in table} == {"complete", "pruned"}
    for row in table:
        assert Path("search", row["directory"], "done").exists() == (row["state"] == "complete")
    write_page(Path("search.html"), searching.study, "val/loss", "<Search>", "summary", "best")
    page = Path("search.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 5
    assert "&lt;Search&gt;" in page
    assert "http" not in page


SCRIPT = """
import sys
sys.path[:0] = {path!r}
from test_search import search, trials
trials.POLL = 0.02
search({options!r}).run(4, workers={workers})
"""
SLOW = {"x": X, "epochs": 8, "sleep": 0.05}


def start(workers: int, options: Mapping[str, Any] = SLOW) -> subprocess.Popen[bytes]:
    path = [str(Path(__file__).parent), str(Path(searched.__file__).parent)]
    code = SCRIPT.format(path=path, options=dict(options), workers=workers)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_rows(count: int, process: subprocess.Popen[bytes]) -> None:
    while (
        process.poll() is None
        and sum(len(path.read_text().splitlines()) for path in Path("search").glob("*/run/metrics.csv")) < count
    ):
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_search_goes_on_as_if_it_had_not_been(how: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(workers=1)
    wait_for_rows(13, process)  # within the second trial
    os.kill(process.pid, how)
    process.wait()
    monkeypatch.setattr(trials, "POLL", 0.02)
    killed = search(SLOW)
    assert [trial.state.name for trial in killed.study.trials] == ["COMPLETE", "RUNNING"]
    killed.run(4)
    after = rows(killed)
    assert [row["state"] for row in after] == ["complete"] * 4
    for row in after:
        table = Path("search", row["directory"], "run", "metrics.csv").read_text().splitlines()
        assert len(table) == 9  # no epoch is missing, and none was repeated
    Path("search").rename("killed")
    undisturbed = search(SLOW)
    undisturbed.run(4)
    assert [(row["trial"], row["x"], row["val/loss"]) for row in after] == [
        (row["trial"], row["x"], row["val/loss"]) for row in rows(undisturbed)
    ]


@pytest.mark.slow
def test_searches_side_by_side_share_the_trials() -> None:
    processes = [start(workers=2), start(workers=1)]
    assert [process.wait() for process in processes] == [0, 0]
    table = rows(search(SLOW))
    assert [row["state"] for row in table] == ["complete"] * 4


@pytest.mark.slow
def test_a_database_for_many_machines(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg", reason="make extra EXTRA=search-postgresql installs it")
    monkeypatch.setattr(study_module, "HEARTBEAT", 1)
    with explaining_storage():
        mine = search({"x": X}, url=postgresql)
        mine.run(2)
        gone = mine.study.ask(mine.space.searched)  # of a machine that died with its trial
        gone.set_user_attr("place", "another machine")
        gone.set_user_attr("directory", "elsewhere")
        gone.storage.record_heartbeat(gone._trial_id)
        time.sleep(4)
        mine.run(4)
    states = [trial.state.name for trial in mine.study.trials]
    assert states.count("COMPLETE") == 4
    assert states[2] == "FAIL"
    assert gone.params in [trial.params for trial in mine.study.trials[3:]]
    with pytest.raises(InputError, match="the database cannot be used"), explaining_storage():
        search({"x": X}, url=postgresql.replace("/postgres", "/nowhere"))
