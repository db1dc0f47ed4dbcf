"""A logger that fails is told of once, and no run depends on it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONFIGS, Outcome
from failing_logger import FailingLogger
from lightning.pytorch.loggers import CSVLogger

from lamphouse.errors import InputError
from lamphouse.loggers import log_config
from lamphouse.loggers.guard import METHODS, guard

Command = Callable[..., Outcome]


ARGUMENTS = {name: () if name == "save" else ({},) for name in METHODS}


def call(logger: Any, name: str) -> Any:
    return getattr(logger, name) if name == "experiment" else getattr(logger, name)(*ARGUMENTS[name])


@pytest.mark.parametrize("failing", [*METHODS, "experiment"])
def test_after_a_failure_it_is_silent(failing: str, capfd: pytest.CaptureFixture[str]) -> None:
    logger = FailingLogger(failing)
    guard(logger)
    for name in (failing, *METHODS, "experiment", failing):
        call(logger, name)
    assert logger.calls == [failing]
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: FailingLogger: [Errno 28] No space left on device: the run goes on")


def test_without_a_failure_it_is_as_before(capfd: pytest.CaptureFixture[str]) -> None:
    logger = FailingLogger()
    guard(logger)
    for name in METHODS:
        call(logger, name)
    assert logger.experiment == "experiment"
    assert logger.calls == [*METHODS, "experiment"]
    assert isinstance(logger, FailingLogger)
    assert type(logger).__name__ == "FailingLogger"
    assert capfd.readouterr().err == ""


def test_its_name_on_the_command_line_stays_clear(fit: Command) -> None:
    logger = CSVLogger("logs")
    guard(logger)
    outcome = fit("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=logs")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_who_stops_the_run_is_not_held_up(error: BaseException) -> None:
    logger = FailingLogger("log_metrics")
    logger.error = error
    guard(logger)
    with pytest.raises(type(error)):
        logger.log_metrics({})


def test_bad_input_is_still_an_error() -> None:
    logger = FailingLogger("log_hyperparams")
    logger.error = InputError("wrong")
    with pytest.raises(InputError):
        log_config(logger, {})


@pytest.mark.parametrize("failing", ["log_hyperparams", "log_metrics", "save", "finalize", "experiment"])
def test_a_run_goes_on(failing: str, fit: Command) -> None:
    logger = {"class_path": "failing_logger.FailingLogger", "init_args": {"failing": failing}}
    Path("failing.yaml").write_text(yaml.safe_dump(logger))
    outcome = fit("--trainer.logger", "failing.yaml", "--trainer.max_epochs=2")
    assert outcome.status == 0, outcome.err
    (line,) = outcome.err.splitlines()
    assert "No space left on device" in line
    (table,) = Path("runs").glob("*/*/metrics.csv")
    assert table.read_text().count("\n") == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device stands for a full disk")
def test_tensorboard_on_a_full_disk(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    record_writer, hook = writer.RecordWriter, threading.excepthook

    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(writer, "RecordWriter", lambda file: file.close() or record_writer(full))
        outcome = fit("--logger=tensorboard", "--trainer.max_epochs=2")
    assert outcome.status == 0, outcome.err
    (line,) = outcome.err.splitlines()
    assert line.startswith("warning: TensorBoardLogger: [Errno 28]")
    assert threading.excepthook is hook


def test_tensorboard_whose_directory_cannot_be_made(fit: Command, arc: Command) -> None:
    pytest.importorskip("tensorboard")
    fit()
    (run,) = Path("runs", "digits_mlp").iterdir()
    (run / "tensorboard").write_text("not a directory")
    logger = CONFIGS / "logger" / "tensorboard.yaml"
    outcome = arc("resume", "--run", run, "--trainer.max_epochs=2", "--trainer.logger", logger)
    assert outcome.status == 0, outcome.err
    (line,) = outcome.err.splitlines()
    assert line.startswith("warning: TensorBoardLogger: ")
    assert (run / "metrics.csv").read_text().count("\n") == 4
