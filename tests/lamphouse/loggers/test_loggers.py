"""Loggers: each gets the full configuration and all metrics, in the run's own directory."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from conftest import CONFIGS, Outcome, fit_options

from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.loggers.wandb import wandb_mode
from lamphouse.loggers.wandb_file import records
from lamphouse.runs.directory import Run

Command = Callable[..., Outcome]
METRICS = {"train/loss", "train/acc", "val/loss", "val/acc", "lr", "images_per_second", "seconds"}


def only_run() -> Path:
    (path,) = Path("runs", "digits_mlp").iterdir()
    return path


def config_of(run: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((run / "config.yaml").read_text()))


def recorded(path: Path) -> tuple[dict[str, Any], set[str]]:
    """Return the configuration and the names of the metrics in a .wandb file."""
    wandb.teardown()  # its service has written everything when it has ended
    config: dict[str, Any] = {}
    names: set[str] = set()
    for record in records(path):
        updates = [*record.run.config.update, *record.config.update]
        config |= {update.key: json.loads(update.value_json) for update in updates if update.key}
        names |= {item.key or "/".join(item.nested_key) for item in record.history.item}
    return config, names


def test_wandb_records_offline_without_a_key_and_says_once_how_to_upload(fit: Command) -> None:
    outcome = fit("--logger=wandb", "--trainer.max_epochs=2")
    assert (outcome.status, outcome.err) == (0, "")
    run = only_run()
    (path,) = run.glob("wandb/offline-run-*/*.wandb")
    config, names = recorded(path)
    assert {key: value for key, value in config.items() if key != "_wandb"} == config_of(run)
    assert METRICS | {"test/loss", "test/acc"} <= names
    (line,) = [line for line in outcome.out.splitlines() if "wandb sync" in line]
    assert Path(line.split("wandb sync ")[1]) == path.parent
    assert not list(Path().glob("wandb"))


def test_two_runs_of_one_process_are_two_in_wandb(fit: Command) -> None:
    for _ in range(2):
        fit("--logger=wandb", "--trainer.limit_train_batches=1")
    assert len(list(Path().glob("runs/digits_mlp/*/wandb/offline-run-*/*.wandb"))) == 2


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_wandb_mode_is_honoured(fit: Command, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    outcome = fit("--logger=wandb", "--trainer.limit_train_batches=1")
    assert (outcome.status, outcome.err) == (0, "")
    assert bool(list(only_run().glob("wandb/offline-run-*/*.wandb"))) == (mode == "offline")


def test_without_a_key_the_mode_is_offline() -> None:
    assert wandb_mode() == "offline"


def test_with_a_key_the_mode_is_wandbs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_mode() is None


@pytest.mark.parametrize("mode", ["online", "offline", "disabled", "shared"])
def test_the_environment_decides(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    assert wandb_mode() == mode


def test_with_a_key_a_run_is_begun_online(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches wandb.init, which would go to the network."""
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    given: dict[str, Any] = {}

    def init(**options: object) -> None:
        given.update(options)
        raise KeyboardInterrupt

    path = Path("runs", "digits_mlp", "now")
    options = [*fit_options("digits_mlp"), "--logger=wandb"]
    experiment = Experiment(Project("arc_light"), "fit", options, where=lambda _: Run(path))
    monkeypatch.setattr(wandb, "init", init)  # now that its options have been looked at, which are remembered
    with pytest.raises(KeyboardInterrupt):
        _ = experiment.trainer.loggers[0].experiment
    assert given["mode"] is None
    assert (given["id"], given["name"], given["group"]) == ("now", "now", "digits_mlp")
    assert given["project"] == "arc-light"
    assert Path(given["dir"]) == path


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WANDB_API_KEY", "too short", "WANDB_API_KEY"),
        ("WANDB_MODE", "of my own", "WANDB_MODE=of my own: no such mode"),
    ],
)
def test_a_wrong_setting_is_refused(
    fit: Command, name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    outcome = fit("--logger=wandb")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert words in outcome.err
    assert "offline" in outcome.err
    assert not Path("runs").exists()


def test_a_resumed_run_is_the_same_in_wandb(fit: Command, arc: Command) -> None:
    fit("--logger=wandb", "--trainer.limit_train_batches=1")
    assert arc("resume", "--run", only_run(), "--trainer.max_epochs=2").status == 0
    files = sorted(only_run().glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    assert {file.name for file in files} == {f"run-{only_run().name}.wandb"}


def test_csv_gets_config_and_metrics(fit: Command) -> None:
    outcome = fit("--logger=csv", "--trainer.max_epochs=2")
    assert (outcome.status, outcome.err) == (0, "")
    folder = only_run() / "csv"
    assert yaml.safe_load((folder / "hparams.yaml").read_text()) == config_of(only_run())
    with (folder / "metrics.csv").open() as file:
        assert METRICS | {"test/loss", "test/acc"} <= set(next(csv.reader(file)))


def test_tensorboard_gets_config_and_metrics(fit: Command) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    outcome = fit("--logger=tensorboard", "--trainer.max_epochs=2")
    assert (outcome.status, outcome.err) == (0, "")
    folder = only_run() / "tensorboard"
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    assert METRICS | {"test/loss", "test/acc"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("train/loss")) == 2
    assert yaml.safe_load((folder / "hparams.yaml").read_text()) == config_of(only_run())


def test_several_loggers_at_once(fit: Command) -> None:
    loggers = [yaml.safe_load((CONFIGS / "logger" / f"{name}.yaml").read_text()) for name in ("csv", "tensorboard")]
    assert fit(f"--trainer.logger={json.dumps(loggers)}").status == 0
    assert {"csv", "tensorboard"} <= {path.name for path in only_run().iterdir()}
