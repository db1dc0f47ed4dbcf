"""A line for each epoch and, on a terminal, a progress bar."""

import io
import re
import sys
from collections.abc import Callable

import pytest
from conftest import Outcome
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from stock import QUIET, LoggingModel, UnstableModel

from lamphouse.callbacks import EpochProgress, StopNotFinite
from lamphouse.errors import NotFiniteError

STOCK = QUIET | {"enable_progress_bar": True}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def bar_is_removed(self) -> bool:
        """Whether the bar's line is blank, and the cursor at its start."""
        *_, last, rest = self.getvalue().split("\r")
        return not last.strip() and not rest


def show_on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stderr a terminal, and show every batch."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("lamphouse.callbacks.progress.REFRESH_SECONDS", -1)
    for name, value in {"TERM": "xterm", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    return screen


def test_it_works_alone_in_a_stock_trainer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = show_on_terminal(monkeypatch)
    Trainer(callbacks=[EpochProgress()], **STOCK).fit(LoggingModel())
    assert re.search(r"epoch 0/1: .* [1-4]/4 .*train_loss \d", terminal.getvalue().replace("\r", "\n"))
    assert terminal.bar_is_removed
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    pattern = r"epoch   {}/1   perplexity [\d.]+"  # train_loss is of the last step, not of the epoch
    assert all(re.fullmatch(pattern.format(epoch), line) for epoch, line in enumerate(lines))
    assert len(lines) == 2


def test_a_model_that_logs_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = show_on_terminal(monkeypatch)
    options = STOCK | {"max_epochs": -1, "max_steps": 8}
    Trainer(callbacks=[EpochProgress()], **options).fit(BoringModel())
    assert "epoch 0: " in terminal.getvalue()
    assert capsys.readouterr().out.split("\n")[-3:] == ["epoch   0", "epoch   1", ""]


def test_a_bar_shows_the_running_metrics_of_a_task(
    fit: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = show_on_terminal(monkeypatch)
    outcome = fit("--trainer.limit_train_batches=4")
    assert outcome.status == 0
    assert re.search(r"-?\d?:\d\d", terminal.getvalue())  # time left
    assert re.search(r"loss \d\.\d{4} acc \d\.\d{4}", terminal.getvalue())
    assert terminal.bar_is_removed


def test_an_error_removes_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = show_on_terminal(monkeypatch)
    trainer = Trainer(callbacks=[EpochProgress(), StopNotFinite()], **STOCK)
    with pytest.raises(NotFiniteError):
        trainer.fit(UnstableModel())
    assert "epoch 0/1" in terminal.getvalue()
    assert terminal.bar_is_removed


def test_a_line_an_epoch_without_a_terminal(fit: Callable[..., Outcome]) -> None:
    outcome = fit("--trainer.max_epochs=2")
    pattern = r"epoch +{}/1   train loss [\d.]+ acc [\d.]+   val loss [\d.]+ acc [\d.]+   [\d,]+ samples/s"
    lines = [line for line in outcome.out.splitlines() if line.startswith("epoch ")]
    assert all(re.fullmatch(pattern.format(epoch), line) for epoch, line in enumerate(lines))
    assert len(lines) == 2


def test_it_can_be_switched_off(fit: Callable[..., Outcome]) -> None:
    out = fit("--trainer.enable_progress_bar=false").out
    assert not any(line.startswith("epoch ") for line in out.splitlines())
