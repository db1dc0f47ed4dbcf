"""Whoever takes the steps, no trouble with W&B ends a run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cases import LOOPS
from conftest import Outcome
from wandb_server import serving
from wandb_trouble import LOGGER, kill_service_at_row, log_in, rows, warning

Command = Callable[..., Outcome]


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_its_process_killed(loop: str, fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_service_at_row(monkeypatch, 1)
    warning(fit(*LOGGER, f"--loop={loop}", "--trainer.max_epochs=3"))
    (run,) = Path("runs", "digits_mlp").iterdir()
    assert len(rows(run)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_a_key_that_the_server_refuses(loop: str, fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(refuses=True) as server:
        log_in(monkeypatch, server.url)
        assert "it records offline" in warning(fit(*LOGGER, f"--loop={loop}"))
