"""What a person sees of a run."""

import io
import re
import sys
from collections.abc import Callable

import pytest
from conftest import Outcome


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Have stderr be a terminal, and every batch shown."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("lamphouse.callbacks.progress.REFRESH_SECONDS", -1)
    for name, value in {"TERM": "xterm", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    return screen


def is_gone(terminal: Terminal) -> bool:
    """Tell whether the line of a bar has been blanked, and the cursor is at its start."""
    *_, last, rest = terminal.getvalue().split("\r")
    return not last.strip() and not rest


def test_a_terminal_shows_loss_accuracy_and_time_left(
    fit: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = watch(monkeypatch)
    outcome = fit("--trainer.max_epochs=2", "--trainer.limit_train_batches=4")
    shown = terminal.getvalue()
    assert outcome.status == 0
    assert "epoch 0/1" in shown
    assert re.search(r"[1-4]/4", shown)
    assert re.search(r"-?\d?:\d\d", shown)  # time left
    assert re.search(r"loss \d\.\d{4} acc \d\.\d{4}", shown)
    assert is_gone(terminal)
    lines = [line for line in outcome.out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2


def test_the_bar_goes_when_the_run_breaks(fit: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)

    def broken(*args: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("lamphouse.callbacks.Throughput.on_train_batch_end", broken)
    with pytest.raises(RuntimeError, match="broken"):
        fit()
    assert "epoch 0/0" in terminal.getvalue()
    assert is_gone(terminal)


def test_a_line_an_epoch_without_a_terminal(fit: Callable[..., Outcome]) -> None:
    outcome = fit("--trainer.max_epochs=2")
    pattern = r"epoch +{}/1   train loss [\d.]+ acc [\d.]+   val loss [\d.]+ acc [\d.]+   [\d,]+ images/s"
    lines = [line for line in outcome.out.splitlines() if line.startswith("epoch ")]
    assert all(re.fullmatch(pattern.format(epoch), line) for epoch, line in enumerate(lines))
    assert len(lines) == 2


def test_silence_is_a_knob(fit: Callable[..., Outcome]) -> None:
    out = fit("--trainer.enable_progress_bar=false").out
    assert not any(line.startswith("epoch ") for line in out.splitlines())
