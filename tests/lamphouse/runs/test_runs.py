"""A run's own directory."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from lamphouse.errors import InputError
from lamphouse.runs import directory as runs
from lamphouse.runs.directory import find_run, new_run
from lamphouse.runs.environment import environment


def make_run(name: str, experiment: str = "digits_mlp") -> Path:
    path = Path("runs", experiment, name)
    path.mkdir(parents=True)
    (path / "config.yaml").write_text("{}")
    return path


class Second(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "Second":
        return cls(2030, 1, 2, 3, 4, 5)


def test_runs_of_the_same_second_have_their_own_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "datetime", Second)
    paths = {new_run(Path("runs"), "mine").path for _ in range(100)}
    assert len(paths) == 100
    assert all(path.parent == Path("runs/mine") and path.name.startswith("20300102-030405-") for path in paths)


def test_a_run_is_found_by_its_own_path() -> None:
    path = make_run("20300102-030405-aaaaaa")
    make_run("20310102-030405-bbbbbb")
    assert find_run(path).path == path


@pytest.mark.parametrize("root", ["runs", "runs/digits_mlp"])
def test_the_newest_run_is_found(root: str) -> None:
    make_run("20300102-030405-ffffff")
    newest = make_run("20310102-030405-aaaaaa")
    os.utime(newest / "config.yaml", (0, 0))  # a copy keeps its name, not its time
    assert find_run(Path(root)).path == newest


def test_the_newest_of_all_experiments_is_found() -> None:
    make_run("20300102-030405-aaaaaa", "a")
    newest = make_run("20300102-030406-aaaaaa", "b")
    make_run("20300102-030404-aaaaaa", "c")
    assert find_run(Path("runs")).path == newest


def test_of_two_runs_of_one_second_the_later_is_found() -> None:
    later, earlier = make_run("20300102-030405-aaaaaa"), make_run("20300102-030405-bbbbbb")
    os.utime(earlier / "config.yaml", (100, 100))
    os.utime(later / "config.yaml", (200, 200))
    assert find_run(Path("runs")).path == later


def test_a_directory_without_a_config_is_no_run() -> None:
    Path("runs/digits_mlp/20300102-030405-aaaaaa").mkdir(parents=True)
    with pytest.raises(InputError, match=r"^runs: no run"):
        find_run(Path("runs"))


def test_the_environment_names_versions_and_commit() -> None:
    described = json.loads(environment(ROOT))
    assert described["packages"]["torch"] == torch.__version__.split("+")[0]
    assert {"python", "platform", "threads", "git"} <= set(described)
    assert described["git"]["commit"] is None or len(described["git"]["commit"]) == 40


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert json.loads(environment(ROOT))["git"]["commit"] is None
