"""Learning rate, throughput and duration of each epoch."""

import csv
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome
from lightning.pytorch import Trainer
from stock import QUIET, DictionaryModel

from lamphouse.callbacks import NoProfiler, Throughput
from lamphouse.callbacks.curves import samples_of

CLOCK = "lamphouse.callbacks.curves.perf_counter"  # it is read at the start, after each batch and at the end


def test_figures_in_a_stock_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCK, count().__next__)
    trainer = Trainer(callbacks=[Throughput()], profiler=NoProfiler(), **QUIET)
    trainer.fit(DictionaryModel())
    assert {name: float(value) for name, value in trainer.callback_metrics.items()} == {
        "lr": pytest.approx(0.01),
        "samples_per_second": 8 / 4,
        "seconds": 5,
    }


def test_figures_of_a_run(fit: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCK, count().__next__)
    fit("--trainer.max_epochs=2")
    (run,) = Path("runs").glob("*/*")
    with (run / "metrics.csv").open() as file:
        *epochs, test = csv.DictReader(file)
    assert [(float(row["samples_per_second"]), float(row["seconds"])) for row in epochs] == [(2 * 128 / 2, 3)] * 2
    assert test["seconds"] == test["lr"] == ""


def test_figures_of_an_epoch_that_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCK, count().__next__)
    trainer = Trainer(callbacks=[Throughput()], **{**QUIET, "max_steps": 3})
    trainer.fit(DictionaryModel())
    assert trainer.callback_metrics["samples_per_second"] == 6 / 3  # the validation comes after the last step


@pytest.mark.parametrize(
    ("batch", "samples"),
    [
        (torch.zeros(3, 2), 3),
        ([torch.zeros(3, 2), torch.zeros(3), torch.tensor(1)], 3),
        ({"names": ["a", "b"], "pair": (torch.zeros(4), torch.zeros(2))}, 4),
        (torch.tensor(1.0), 1),
        ("text", 0),
        ([], 0),
    ],
)
def test_samples_of_any_batch_are_counted(batch: Any, samples: int) -> None:
    assert samples_of(batch) == samples
