"""What befalls W&B, and what is left of a run then."""

import csv
import os
import re
import resource
import shlex
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from wandb.analytics.opentelemetry import opentelemetry_proxy
from wandb.sdk import wandb_setup
from wandb.sdk.lib.service import service_process
from wandb_server import Server

from lamphouse.loggers.table import MetricsTable

KEY = "0123456789abcdef" * 2 + "01234567"
LOGGER = ("--logger=wandb",)


def log_in(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Set a key, and let W&B print what it wants to."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.delenv("WANDB_SILENT", raising=False)


def kill_service_at_row(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Kill W&B's process, which this one has started, when the run has so many rows of metrics."""
    write = MetricsTable.finalize

    def write_and_kill(table: MetricsTable, status: str = "success") -> None:
        unwritten = table._unwritten
        write(table, status)
        if unwritten and len(table.rows) == number:
            service = wandb_setup.singleton().assert_service()._proc
            assert service is not None
            os.kill(service._process.pid, signal.SIGKILL)
            service._process.wait()

    monkeypatch.setattr(MetricsTable, "finalize", write_and_kill)


def limit_files_of_service(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let W&B's process write files of no more than `size` bytes, beyond which writing fails as on a full disk."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    limited = partial(subprocess.Popen, preexec_fn=limit, restore_signals=False)
    monkeypatch.setattr(service_process.subprocess, "Popen", limited)


def report_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let W&B's reports on itself begin anew, as in a process in which it has made none."""
    monkeypatch.setattr(opentelemetry_proxy, "_singleton_telemetry_proxy", None)
    opentelemetry_proxy._disabled.clear()


def warning(outcome: Outcome) -> str:
    """Return the one line on stderr of a run that went well otherwise."""
    assert outcome.status == 0, outcome.err
    (line,) = outcome.err.splitlines()
    assert line.startswith("warning: WandbLogger: ")
    return line


def rows(run: Path) -> list[dict[str, float]]:
    """Read the run's table, whose rows are those of epochs 0, 1, 2, ... and one for the test."""
    with (run / "metrics.csv").open(newline="") as file:
        table = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    assert [row["epoch"] for row in table] == list(range(len(table)))
    assert "test/loss" in table[-1]
    return table


def uploaded(out: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Follow the way to upload that a run has printed; return the rows that the server has then, one an epoch."""
    (command,) = re.findall("to upload it: (.+)", out)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=60, check=True)
    assert "Finished syncing" in done.stderr
    merged: dict[int, dict[str, Any]] = {}
    for _, row in sorted(server.rows.items()):
        merged.setdefault(row["epoch"], {}).update(row)
    return [merged[epoch] for epoch in sorted(merged)]


def assert_same(table: list[dict[str, float]], history: list[dict[str, Any]]) -> None:
    """Compare the run's table with what W&B has."""
    assert len(table) == len(history)
    for row, uploaded_row in zip(table, history, strict=True):
        assert uploaded_row["trainer/global_step"] == row.pop("step")
        assert {name: uploaded_row[name] for name in row} == pytest.approx(row, rel=1e-6)  # the table's are float32
