"""Learning rate, speed and duration of each epoch."""

import csv
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from conftest import Outcome


def test_figures_by_a_clock_that_ticks_when_it_is_read(
    fit: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read at the start, after each of the two batches of 64 images, and at the end."""
    monkeypatch.setattr("lamphouse.callbacks.throughput.perf_counter", count().__next__)
    fit("--trainer.max_epochs=2")
    (run,) = Path("runs").glob("*/*")
    with (run / "metrics.csv").open() as file:
        *epochs, test = csv.DictReader(file)
    for row in epochs:
        assert float(row["images_per_second"]) == 2 * 64 / 2
        assert float(row["seconds"]) == 3
    assert test["seconds"] == test["lr"] == ""
