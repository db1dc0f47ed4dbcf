"""The command search: what it refuses, and a search with real runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONFIGS, FEW_BATCHES, Outcome

Command = Callable[..., Outcome]
LR = {"low": 0.001, "high": 0.01, "log": True}


def write(**content: Any) -> Path:
    files = [str(CONFIGS / name) for name in ("trainer.yaml", "digits_mlp.yaml")]
    options = {"logger": "csv", "trainer.accelerator": "cpu", "model.optimizer.lr": LR}
    Path("lr.yaml").write_text(
        yaml.safe_dump({"experiment": files, "metric": "val/loss", "options": options, **content})
    )
    return Path("lr.yaml")


def test_optuna_is_asked_for(arc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = arc("search", "--search", write())
    assert done.status == 2
    assert done.err == "arc_light search: Optuna is not installed: install it with `make extra EXTRA=search`\n"


@pytest.mark.parametrize(
    ("content", "args", "message"),
    [
        ({"metrik": "val/loss"}, [], "--search lr.yaml: metrik: no such key; did you mean metric?"),
        ({"metric": "val/f1"}, [], "metric val/f1: no such metric; there are val/loss, val/acc"),
        ({"options": {"model.optimizer.lrr": LR}}, [], "did you mean lr?"),
        ({"options": {"model.optimizer.lr": {"low": -1, "high": 0}}}, [], "Invalid learning rate: -1"),
        ({"options": {"runs": {"choices": ["a", "b"]}}}, [], "options.runs: the search itself gives it"),
        ({"trials": 0}, [], "--trials 0: expected a whole number from 1"),
        ({"pruner": "MedianPrune"}, [], "did you mean MedianPruner?"),
        ({"sampler": {"class_path": "TPESampler", "init_args": {"seed": "a"}}}, [], "seed a: expected an integer"),
        ({"storage": "sqlite:///trials.db"}, [], "several writers at once have damaged such files"),
        ({}, ["--model.optimizer.lr=1"], "--model.optimizer.lr: the search gives every trial its own"),
        ({}, ["--storage=nothing"], "--storage: the database cannot be used: Could not parse"),
    ],
)
def test_what_is_refused(content: dict[str, Any], args: list[str], message: str, arc: Command) -> None:
    pytest.importorskip("optuna", reason="make extra EXTRA=search installs what is tested here")
    done = arc("search", "--search", write(**content), *args)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert message in done.err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_the_best_options_train_to_the_same_result(arc: Command) -> None:
    pytest.importorskip("optuna", reason="make extra EXTRA=search installs what is tested here")
    few = ["--trainer.max_epochs=2", *FEW_BATCHES]
    done = arc("search", "--search", write(trials=3), "--workers=2", *few)
    assert done.status == 0, done.err
    directory = Path("runs", "search", "lr")
    assert "http" not in (directory / "search.html").read_text()
    best = (directory / "trials.csv").read_text().splitlines()[1].split(",")
    config = next(directory.glob(f"{int(best[0]):04d}-*/*/*/config.yaml"))
    again = arc("fit", "-c", CONFIGS / "trainer.yaml", "-c", directory / "lr_best.yaml")
    assert again.status == 0, again.err
    (table,) = Path("runs", "lr_best").glob("*/metrics.csv")
    columns = ("epoch", "step", "train/loss", "val/loss", "test/loss")
    assert numbers(table, columns) == numbers(config.with_name("metrics.csv"), columns)
    assert arc("search", "--search", write(trials=3), *few).out.count("trial ") == 1  # the best; no other was run


def numbers(table: Path, columns: tuple[str, ...]) -> list[list[str]]:
    head, *rows = (line.split(",") for line in table.read_text().splitlines())
    return [[row[head.index(column)] for column in columns] for row in rows]


@pytest.mark.slow
def test_a_sweep_of_wandb_passes_options(arc: Command) -> None:
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    sweep = yaml.safe_load((CONFIGS / "search" / "wandb.yaml").read_text())
    ends = [{name: {"value": end_of(spec, end)} for name, spec in sweep["parameters"].items()} for end in (0, -1)]
    for parameters in ends:
        given = utils.create_sweep_command_args({"args": parameters})["args"]  # as the agent does
        command = utils.create_sweep_command(list(sweep["command"]))
        place = command.index("${args}")
        command[place : place + 1] = given
        paths = [str(CONFIGS.parent / part) if part.startswith("configs/") else part for part in command[4:]]
        shown = arc("show", *paths)
        assert (command[1:4], shown.status) == (["-m", "arc_light", "fit"], 0), shown.err
        assert f"lr: {parameters['model.optimizer.lr']['value']}" in shown.out
        assert f"batch_size: {parameters['data.batch_size']['value']}" in shown.out
    assert sweep["metric"] == {"name": "val/acc", "goal": "maximize"}


def end_of(spec: dict[str, Any], end: int) -> Any:
    """Return the lowest or the highest value of a sweep's parameter."""
    return (
        spec["value"]
        if "value" in spec
        else [*spec.get("values", ()), *(spec[k] for k in ("min", "max") if k in spec)][end]
    )
