"""A run goes on when W&B has no server, refuses its key, loses its process or has a full disk."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import wandb
from conftest import Outcome
from wandb_server import serving
from wandb_trouble import (
    KEY,
    LOGGER,
    assert_same,
    kill_service_at_row,
    limit_files_of_service,
    log_in,
    report_anew,
    rows,
    uploaded,
    warning,
)

from lamphouse.loggers.table import MetricsTable
from lamphouse.loggers.wandb import PATIENCE, set_up

Command = Callable[..., Outcome]
NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port


def only_run() -> Path:
    (path,) = Path("runs", "digits_mlp").iterdir()
    return path


def test_online_everything_is_uploaded(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        log_in(monkeypatch, server.url)
        outcome = fit(*LOGGER)
    assert (outcome.status, outcome.err) == (0, "")
    page = f"{server.url}/me/arc-light/runs/{only_run().name}"
    assert f"W&B: {page}\n" in outcome.out
    assert "wandb sync" not in outcome.out
    assert {name for row in rows(only_run()) for name in row} - {"step"} <= server.metrics


@pytest.mark.slow
def test_a_key_that_the_server_refuses(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(refuses=True) as server:
        log_in(monkeypatch, server.url)
        outcome = fit(*LOGGER, "--trainer.max_epochs=2")
        assert server.requests
    assert re.search("not logged in.*: it records offline$", warning(outcome))
    with serving() as server:
        assert_same(rows(only_run()), uploaded(outcome.out, server, monkeypatch))


@pytest.mark.slow
def test_a_server_out_of_reach(fit: Command, arc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(monkeypatch, NOWHERE)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    assert warning(fit(*LOGGER)).endswith(": it records offline")
    outcome = arc("resume", "--run", only_run(), "--trainer.max_epochs=2")
    assert (outcome.status, outcome.err.count("\n"), "goes on offline" in outcome.err) == (0, 1, True)
    assert len(list(only_run().glob("wandb/offline-run-*/*.wandb"))) == 2
    assert len(rows(only_run())) == 3


def test_a_run_waits_for_the_server_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < PATIENCE["init_timeout"] <= 20
    set_up()
    settings = wandb.setup().settings
    assert {name: getattr(settings, name) for name in PATIENCE} == PATIENCE


@pytest.mark.parametrize("name", PATIENCE)
def test_or_as_long_as_its_user_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"WANDB_{name.upper()}", "7")
    set_up()
    settings = wandb.setup().settings
    assert {name: getattr(settings, name) for name in PATIENCE} == {**PATIENCE, name: 7}


@pytest.mark.slow
def test_a_server_that_goes_away_half_way(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write = MetricsTable.finalize
    with serving() as server:
        log_in(monkeypatch, server.url)
        monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")

        def write_and_shut_down(table: MetricsTable, status: str = "success") -> None:
            unwritten = table._unwritten
            write(table, status)
            if unwritten:
                server.shutdown()
                server.server_close()

        monkeypatch.setattr(MetricsTable, "finalize", write_and_shut_down)
        outcome = fit(*LOGGER, "--trainer.max_epochs=2")
    assert "Timed out" in warning(outcome)
    with serving() as server:
        assert_same(rows(only_run()), uploaded(outcome.out, server, monkeypatch))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("at_row", [1, 4], ids=["half-way", "at the end"])
def test_its_process_killed(mode: str, at_row: int, fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        log_in(monkeypatch, server.url)
        monkeypatch.setenv("WANDB_MODE", mode)
        kill_service_at_row(monkeypatch, at_row)
        outcome = fit(*LOGGER, "--trainer.max_epochs=3")
    assert "has all metrics in its metrics.csv" in warning(outcome)
    assert "wandb sync" not in outcome.out
    assert len(rows(only_run())) == 4


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 7, 3000])
def test_its_disk_full(size: int, fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    report_anew(monkeypatch)
    limit_files_of_service(monkeypatch, size)
    outcome = fit(*LOGGER, "--trainer.max_epochs=2")
    warning(outcome)
    assert "wandb sync" not in outcome.out
    assert len(rows(only_run())) == 3


@pytest.mark.slow
def test_its_files_cannot_be_made(fit: Command, arc: Command) -> None:
    fit("--trainer.logger=false")
    (only_run() / "wandb").write_text("not a directory")
    outcome = arc("resume", "--run", only_run(), "--trainer.max_epochs=2", *LOGGER)
    warning(outcome)
    assert len(rows(only_run())) == 3


@pytest.mark.slow
def test_a_run_begun_with_a_key_goes_on_without(fit: Command, arc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        log_in(monkeypatch, server.url)
        fit(*LOGGER)
    monkeypatch.delenv("WANDB_API_KEY")
    outcome = arc("resume", "--run", only_run(), "--trainer.max_epochs=2")
    assert (outcome.status, outcome.err) == (0, "")
    assert "-m wandb sync" in outcome.out


@pytest.mark.parametrize(
    "option",
    ["project=a/b", *(pytest.param(one, marks=pytest.mark.slow) for one in (f"tags={'x' * 80}", "mode=of my own"))],
)
def test_what_wandb_refuses_is_bad_input(option: str, fit: Command) -> None:
    outcome = fit(*LOGGER, f"--logger_options.{option}")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert option.partition("=")[2] in outcome.err
    assert not list(Path("runs").glob("*/*"))


@pytest.mark.parametrize(
    "way",
    [
        "offline",
        "malformed",
        *(pytest.param(way, marks=pytest.mark.slow) for way in ("refused", "out of reach", "of ~/.netrc")),
    ],
)
def test_no_key_is_written_anywhere(way: str, fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEY[:30] if way == "malformed" else KEY
    with serving(refuses=True) as server:
        log_in(monkeypatch, NOWHERE if way == "out of reach" else server.url)
        monkeypatch.setenv("WANDB_CACHE_DIR", str(Path("cache").absolute()))
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
        monkeypatch.setenv("WANDB_API_KEY", key)
        if way == "offline":
            monkeypatch.setenv("WANDB_MODE", "offline")
        if way == "of ~/.netrc":
            monkeypatch.delenv("WANDB_API_KEY")
            Path("netrc").write_text(f"machine 127.0.0.1:{server.server_port}\n  login user\n  password {key}\n")
            monkeypatch.setenv("NETRC", str(Path("netrc").absolute()))
        outcome = fit(*LOGGER)
        wandb.teardown()
        sent = "".join(server.requests)
    assert outcome.status == (2 if way == "malformed" else 0)
    assert bool(sent) == (way in {"refused", "of ~/.netrc"})
    assert bool(list(Path("runs").rglob("*.wandb"))) == (way != "malformed")
    assert not files_with(key)
    for text in (outcome.out, outcome.err, sent):
        assert key not in text


def files_with(key: str) -> set[Path]:
    """Find the key in every byte of what has been written here, but where it was given."""
    files = {path for path in Path().rglob("*") if path.is_file() and path != Path("netrc")}
    return {path for path in files if key.encode() in path.read_bytes()}


def test_a_key_among_the_options_is_refused(fit: Command) -> None:
    outcome = fit(*LOGGER, "--logger_options.settings", f'{{"api_key": "{KEY}"}}')
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "WANDB_API_KEY" in outcome.err
    assert KEY not in outcome.err
    assert not files_with(KEY)


@pytest.mark.parametrize("name", ["WANDB_DEBUG", "WANDB_CORE_DEBUG"])
def test_logs_that_show_the_key_are_refused(name: str, fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "true")
    outcome = fit(*LOGGER)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "WANDB_DEBUG" in outcome.err
