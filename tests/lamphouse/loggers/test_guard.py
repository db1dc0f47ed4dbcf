"""A logger that fails says so once, and no run depends on it."""

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from failing_logger import FailingLogger
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger, Logger
from stock import QUIET

from lamphouse.errors import InputError
from lamphouse.loggers import GuardedLogger, log_config

Command = Callable[..., Outcome]
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "after_save_checkpoint": ({},),
    "finalize": ({},),
    "log_graph": ({},),
    "log_hyperparams": ({},),
    "log_metrics": ({},),
    "save": (),
}
NAMES = [*ARGUMENTS, "experiment"]


def call(logger: Logger, name: str) -> Any:
    return getattr(logger, name)(*ARGUMENTS[name]) if name in ARGUMENTS else getattr(logger, name)


@pytest.mark.parametrize("failing", NAMES)
def test_a_stock_trainer_goes_on(failing: str, capfd: pytest.CaptureFixture[str]) -> None:
    wrapped = FailingLogger(failing)
    options = QUIET | {"logger": GuardedLogger(wrapped), "log_every_n_steps": 1, "enable_checkpointing": True}
    trainer = Trainer(callbacks=[LearningRateMonitor(), ModelCheckpoint(Path())], **options)
    model = BoringModel()
    model.save_hyperparameters({"size": 1})
    trainer.fit(model)
    assert trainer.global_step == 8
    assert wrapped.calls.count(failing) == 1
    assert wrapped.calls[-1] == failing
    warnings = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    (line,) = warnings
    assert line.startswith("warning: FailingLogger: [Errno 28] No space left on device: the run goes on")


def test_without_a_failure_it_is_as_the_wrapped_one(capfd: pytest.CaptureFixture[str]) -> None:
    wrapped = FailingLogger(save_dir="logs")
    logger = GuardedLogger(wrapped)
    assert [call(logger, name) for name in NAMES][-1] == "experiment"
    assert wrapped.calls == NAMES
    assert (logger.name, logger.version, logger.save_dir) == (wrapped.name, wrapped.version, wrapped.save_dir)
    assert logger.called("own method") == "own method"
    with pytest.raises(AttributeError, match="nothing"):
        _ = logger.nothing
    assert capfd.readouterr().err == ""


def test_it_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(GuardedLogger(CSVLogger("logs")))).save_dir == "logs"  # noqa: S301  # our own


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_a_stop_is_not_a_failure(error: BaseException) -> None:
    logger = FailingLogger("log_metrics")
    logger.error = error
    with pytest.raises(type(error)):
        GuardedLogger(logger).log_metrics({})


def test_bad_input_is_still_an_error() -> None:
    logger = FailingLogger("log_hyperparams")
    logger.error = InputError("wrong")
    with pytest.raises(InputError):
        log_config(GuardedLogger(logger), {})


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
    outcome = arc("resume", "--run", run, "--trainer.max_epochs=2", "--logger=tensorboard")
    assert outcome.status == 0, outcome.err
    (line,) = outcome.err.splitlines()
    assert line.startswith("warning: TensorBoardLogger: ")
    assert (run / "metrics.csv").read_text().count("\n") == 4
