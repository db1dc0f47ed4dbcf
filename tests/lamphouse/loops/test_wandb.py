"""Whoever takes the steps, no trouble with W&B ends a run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cases import LOOPS
from conftest import Outcome
from wandb_server import serving
from wandb_trouble import LOGGER, assert_same, kill_service_at_row, log_in, rows, uploaded, warning

Command = Callable[..., Outcome]


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_its_process_killed(loop: str, fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_service_at_row(monkeypatch, 1)
    outcome = fit(*LOGGER, f"--loop={loop}", "--trainer.max_epochs=3")
    warning(outcome)
    (run,) = Path("runs", "digits_mlp").iterdir()
    with serving() as server:
        log_in(monkeypatch, server.url)
        assert_same(rows(run), uploaded(outcome.out, server, monkeypatch))


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_a_key_that_the_server_refuses(loop: str, fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(refuses=True) as server:
        log_in(monkeypatch, server.url)
        assert "it records offline" in warning(fit(*LOGGER, f"--loop={loop}"))
