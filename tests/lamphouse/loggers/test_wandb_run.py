"""One run of ours is one run of W&B, and what was recorded offline is read by W&B's own `wandb sync`."""

import csv
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from conftest import Outcome, fit_options
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from stock import QUIET
from wandb_server import Server, serving
from wandb_trouble import KEY, LOGGER, log_in

from lamphouse.loggers import close, make_logger
from lamphouse.loggers.wandb_run import read_identity
from arc_light.__main__ import main

Command = Callable[..., Outcome]
OPTIONS = {"tags": "a,b", "notes": "5", "job_type": "trial", "watch": "all", "log_model": "true"}


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """Train offline, go on twice with worse models, and follow the way to upload that was printed."""
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        patch.chdir(tmp_path_factory.mktemp("offline"))
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        Path("home").mkdir()
        patch.setenv("HOME", str(Path("home").absolute()))
        patch.setenv("NETRC", os.devnull)
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "init", "-q"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
        options = [f"--logger_options.{name}={value}" for name, value in OPTIONS.items()]
        main(["fit", *fit_options("digits_mlp"), *LOGGER, *options, "--trainer.log_every_n_steps=1"])
        for epochs in (2, 3):
            main(["resume", "--run=runs", f"--trainer.max_epochs={epochs}"])
        wandb.teardown()
        log_in(patch, server.url)
        main(["sync", "--run=runs"])
        yield Path.cwd() / next(Path("runs").glob("*/*")), server


@pytest.mark.slow
def test_segments_are_one_run_whose_steps_go_on(uploaded: tuple[Path, Server]) -> None:
    run, server = uploaded
    assert server.run is not None
    assert server.run["name"] == run.name
    assert len(list(run.glob("wandb/offline-run-*"))) == 3
    rows = [row for _, row in sorted(server.rows.items())]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    with (run / "metrics.csv").open(newline="") as file:
        table = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    for row in table[:-1]:
        (found,) = [one["val/acc"] for one in rows if one.get("epoch") == row["epoch"] and "val/acc" in one]
        assert found == pytest.approx(row["val/acc"])
    best = max(table[:-1], key=lambda row: (row["val/acc"], -row["val/loss"]))
    assert server.summary["val/acc"] == {"max": pytest.approx(best["val/acc"])}
    assert server.summary["best/val/loss"] == pytest.approx(best["val/loss"])
    assert server.summary["test/acc"] == pytest.approx(table[-1]["test/acc"])


@pytest.mark.slow
def test_charts_have_epochs_where_they_can(uploaded: tuple[Path, Server]) -> None:
    definitions = uploaded[1].config["_wandb"]["m"]
    names = [definition.get("1", definition.get("2")) for definition in definitions]
    axes = {name: names[one["5"] - 1] if "5" in one else None for name, one in zip(names, definitions, strict=True)}
    epochs = {name for name, axis in axes.items() if axis == "epoch"}
    assert {"train/loss", "val/loss", "val/acc", "test/acc", "lr", "seconds"} <= epochs
    assert not [name for name in epochs if name.startswith("steps/")]
    assert axes["*"] != "epoch"


@pytest.mark.slow
def test_a_run_has_its_configuration_commit_and_options(uploaded: tuple[Path, Server]) -> None:
    run, server = uploaded
    config = {key: value for key, value in server.config.items() if key != "_wandb"}
    assert config == yaml.safe_load((run / "config.yaml").read_text())
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=run, capture_output=True, text=True, check=True)
    said = {name: (server.run or {})[name] for name in ("commit", "tags", "notes", "jobType", "groupName")}
    assert said == {
        "commit": head.stdout.strip(),
        "tags": ["a", "b"],
        "notes": "5",
        "jobType": "trial",
        "groupName": "digits_mlp",
    }


@pytest.mark.slow
def test_watched_and_stored_if_asked_to_and_nothing_below_home(uploaded: tuple[Path, Server]) -> None:
    run, server = uploaded
    assert {"gradients/network.7.bias", "parameters/network.7.bias"} <= server.metrics
    assert {one["alias"] for one in server.artifact["aliases"]} == {"best", "latest"}
    assert server.stored["model.ckpt"] == (run / "best.ckpt").read_bytes()
    assert not list((run.parents[2] / "home").rglob("*"))


@pytest.mark.slow
def test_an_artifact_is_evaluated_like_the_run(
    uploaded: tuple[Path, Server], arc: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, server = uploaded
    log_in(monkeypatch, server.url)
    reference = f"me/arc-light/model-{run.name}"
    outcome, other = arc("evaluate", "--run", f"{reference}:best"), arc("evaluate", "--run", f"{reference}:worst")
    assert (outcome.err, outcome.status) == ("", 0)
    assert outcome.out.split("\n\n")[1] == arc("evaluate", "--run", run).out.split("\n\n")[1]
    assert (other.status, other.err.count("\n")) == (2, 1)
    assert f"--run {reference}:worst" in other.err
    assert [path.name for path in Path().iterdir()] == [".cache"]


@pytest.mark.slow
def test_all_segments_are_named_and_an_id_is_kept(fit: Command, arc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    fit(*LOGGER, "--trainer.limit_train_batches=1")
    monkeypatch.setenv("WANDB_RUN_ID", "another")
    monkeypatch.setenv("WANDB_SWEEP_ID", "a sweep of another")
    (run,) = Path("runs", "digits_mlp").iterdir()
    run.rename("runs/digits_mlp/a#b")
    arc("resume", "--run=runs", "--trainer.max_epochs=2")
    newest = next(sorted(Path().glob("runs/digits_mlp/a#b/wandb/offline-run-*"))[-1].glob("*.wandb"))
    os.truncate(newest, newest.stat().st_size - 20)  # as by SIGKILL
    outcome = arc("resume", "--run=runs", "--trainer.max_epochs=3")
    (command,) = re.findall("to upload it: (.+)", outcome.out)
    segments = sorted(Path().glob("runs/digits_mlp/a#b/wandb/offline-run-*"))
    assert [Path(word.rstrip(";")) for word in shlex.split(command) if "offline-run" in word] == segments
    with serving() as server:
        log_in(monkeypatch, server.url)
        subprocess.run(["sh", "-c", command], check=True, capture_output=True)
        assert {row["epoch"] for row in server.rows.values() if "epoch" in row} == {0, 1, 2, 3}
        assert (server.run or {})["name"] == "given"
        assert [row["_step"] for _, row in sorted(server.rows.items())] == list(range(len(server.rows)))
        outcome = arc("sync", "--run=runs")
        assert (outcome.status, "nothing" in outcome.out) == (0, True)


def test_without_a_key_or_a_server_a_line_says_so(arc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.yaml", "wandb/offline-run-1-a/run-a.wandb"):
        Path("run", name).parent.mkdir(parents=True, exist_ok=True)
        Path("run", name).touch()
    for key, words in (("", "no API key"), (KEY, "check the key and the network")):
        monkeypatch.setenv("WANDB_API_KEY", key)
        monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
        for outcome in (arc("sync", "--run", "run"), arc("evaluate", "--run", "me/mine/model:best")):
            assert (outcome.status, outcome.err.count("\n")) == (2, 1)
            assert words in outcome.err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Checkpoint directory")  # which is the run's own
def test_a_stock_trainer_continues_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(BoringModel):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.step(batch), on_epoch=True)

    for epochs in (1, 2):
        logger = make_logger("wandb", Path("mine"), "any", {"log_model": True})
        assert logger is not None
        best = ModelCheckpoint("mine", "best", monitor="val_loss", enable_version_counter=False)
        options = {"logger": logger, "callbacks": [best], "max_epochs": epochs, "log_every_n_steps": 1}
        trainer = Trainer(**QUIET | options | {"enable_checkpointing": True})
        trainer.fit(Model(), ckpt_path="mine/best.ckpt" if epochs > 1 else None)
        close([logger])
        time.sleep(1)  # W&B names its folders by the second
    assert read_identity(Path("mine"))["steps"] == 2
    with serving() as server:
        log_in(monkeypatch, server.url)
        folders = sorted(Path("mine").glob("wandb/offline-run-*-mine"))
        subprocess.run([sys.executable, "-m", "wandb", "sync", *folders], check=True, capture_output=True)
        assert [row["_step"] for _, row in sorted(server.rows.items())] == [0, 1]
        assert list(server.summary["val_loss"]) == ["min"]
        assert server.stored["model.ckpt"] == Path("mine/best.ckpt").read_bytes()
