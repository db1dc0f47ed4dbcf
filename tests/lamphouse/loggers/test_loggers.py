"""Loggers: each gets the full configuration and all metrics, in the run's own directory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
import yaml
from conftest import Outcome, fit_options
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from stock import QUIET

from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.errors import InputError
from lamphouse.loggers import LoggerName, log_best, log_config, make_logger
from lamphouse.loggers.wandb import default_mode
from lamphouse.runs.directory import Run

Command = Callable[..., Outcome]
METRICS = {"train/loss", "train/acc", "val/loss", "val/acc", "lr", "samples_per_second", "seconds"}


def only_run() -> Path:
    (path,) = Path("runs", "digits_mlp").iterdir()
    return path


def config_of(run: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((run / "config.yaml").read_text()))


def test_wandb_records_offline_without_a_key_and_says_once_how_to_upload(fit: Command) -> None:
    outcome = fit("--logger=wandb", "--trainer.max_epochs=2")
    assert (outcome.status, outcome.err) == (0, "")
    run = only_run()
    (path,) = run.glob("wandb/offline-run-*/*.wandb")
    (line,) = [line for line in outcome.out.splitlines() if "wandb sync" in line]
    assert Path(line.split("wandb sync ")[1]) == path.parent
    assert not list(Path().glob("wandb"))


def test_options_beat_variables_and_variables_beat_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    by_default = wandb_arguments()
    assert (by_default["project"], by_default["group"], by_default["version"]) == ("mine", "any", "a-b")
    for name in ("PROJECT", "RUN_GROUP", "NAME", "DIR", "RUN_ID", "RESUME"):
        monkeypatch.setenv(f"WANDB_{name}", name)
    names = ("project", "group", "name", "save_dir", "version", "resume")
    assert [wandb_arguments()[name] for name in names] == ["PROJECT", "RUN_GROUP", "NAME", "DIR", "RUN_ID", "RESUME"]
    given = wandb_arguments(project="p", group="g", name="n")
    assert (given["project"], given["group"], given["name"]) == ("p", "g", "n")


def test_of_several_processes_the_first_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = make_logger("wandb", Path("run"), "any", {})
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert logger is not None
    log_config(logger, {"a": 1})
    log_best([logger], lambda: {"a": 1}, {"val/acc": 1.0})
    assert not logger.failed
    assert not Path("run").exists()


def wandb_arguments(**options: str) -> Any:
    logger = make_logger("wandb", Path("runs", "a#b"), "any", options, "mine")
    assert logger is not None
    return logger.arguments


@pytest.mark.slow
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
    assert default_mode() == "offline"


def test_with_a_key_the_mode_is_wandbs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert default_mode() is None


@pytest.mark.parametrize("mode", ["online", "offline", "disabled", "shared"])
def test_the_environment_decides(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    assert default_mode() == mode


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


@pytest.mark.parametrize("name", ["csv", "none"])
def test_without_a_logger_a_run_has_its_own_table(fit: Command, name: str) -> None:
    assert fit(f"--logger={name}").status == 0
    assert [path.name for path in only_run().rglob("*.csv")] == ["metrics.csv"]


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
    assert "hp_metric" not in events.Tags()["scalars"]
    assert events.Scalars("best/val/acc")[0].value == max(event.value for event in events.Scalars("val/acc"))
    assert any("hparams" in name for name in events.summary_metadata)


def test_tensorboard_drops_what_is_logged_again(fit: Command, arc: Command) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert fit("--logger=tensorboard").status == 0
    folder = only_run() / "tensorboard"
    logger = TensorBoardLogger(str(only_run()), "tensorboard", "")
    logger.log_metrics({"train/loss": -1.0}, 3)  # by a process that was killed
    logger.finalize("failed")
    assert arc("resume", "--trainer.max_epochs=2").status == 0
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 3]
    assert all(event.value > 0 for event in events.Scalars("train/loss"))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # which TensorBoard calls
def test_tensorboard_gets_the_graph_of_a_stock_trainer() -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = make_logger("tensorboard", Path("run"), "any", {"log_graph": True})
    model = BoringModel()
    model.example_input_array = torch.zeros(1, 32)
    Trainer(**QUIET | {"logger": logger, "log_every_n_steps": 1}).fit(model)
    events = accumulator.EventAccumulator("run/tensorboard")
    events.Reload()
    assert events.Tags()["graph"]


def test_a_user_finds_the_wrapped_logger() -> None:
    pytest.importorskip("tensorboard")
    logger = make_logger("tensorboard", Path("run"), "any", {})
    assert logger is not None
    assert isinstance(logger.wrapped, TensorBoardLogger)
    assert logger.log_dir == "run/tensorboard/"
    assert logger.experiment is logger.wrapped.experiment


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("wandb", {"projct": "a"}, "--logger_options.projct: no such option; there are "),
        ("wandb", {"save_dir": "a"}, "--logger_options.save_dir a: comes from the run's directory"),
        ("wandb", {"watch": "all of it"}, "watch all of it: there are gradients"),
        ("wandb", {"log_model": "perhaps"}, "log_model perhaps: there are true"),
        ("wandb", {"log_model": True, "checkpoint_name": "a/b"}, "a/b"),
        ("tensorboard", {"project": "a"}, "--logger_options.project: no such option"),
        ("csv", {"flush": 1}, "--logger_options.flush: no such option; --logger csv has none"),
    ],
)
def test_wrong_options_are_refused(name: LoggerName, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_logger(name, Path("run"), "any", options)
