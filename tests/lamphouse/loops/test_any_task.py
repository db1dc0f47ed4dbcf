"""The loops train any task: here regression of float features, by a task of the test's own."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import (
    LOOPS,
    OPTIMIZERS,
    SCHEDULES,
    Case,
    Experiment,
    assert_same_bits,
    experiment_of,
    one_thread,
    outcome_of,
    train,
)
from torch import Tensor, nn
from torch.nn import functional as F

from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.data import Samples, TensorDataModule
from lamphouse.loops import record
from lamphouse.task import Task


class Regression(Task):
    """Predicts three numbers by the mean squared error."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.network = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3))

    def loss(self, batch: Any) -> tuple[Tensor, Tensor]:
        predictions = self(batch[0])
        return F.mse_loss(predictions, batch[1]), predictions


class Features(TensorDataModule):
    """Float features and targets that depend on them linearly."""

    def load(self, train: bool) -> Samples:
        random = torch.Generator().manual_seed(int(train))
        features = torch.randn(42 if train else 9, 5, generator=random)
        return Samples(features, features[:, :3] * 2 + 1)


class KilledError(BaseException):
    """Stands for a signal that cannot be caught."""


def model_of(case: Case, adapt: Callable[[Any], Any] = lambda cls: cls) -> Any:
    return adapt(Regression)(optimizer=OPTIMIZERS[case.optimizer], lr_scheduler=SCHEDULES[case.schedule])


def data_of(case: Case) -> Features:
    return Features(batch_size=7, val_fraction=0.25, seed=1)


PARTS: dict[str, Any] = {"model": model_of, "data": data_of}
CASE = Case(schedule="one_cycle", accumulate=2, clip="norm", ema=0.9, best="val/loss")


def test_the_loops_compute_the_same_bits(tmp_path: Path) -> None:
    with one_thread():
        assert_same_bits([train(loop, CASE, tmp_path, **PARTS) for loop in LOOPS], CASE)


@pytest.mark.parametrize("loop", LOOPS)
def test_killed_within_an_epoch_it_resumes_to_the_same_bits(loop: str, tmp_path: Path) -> None:
    case = replace(CASE, every_n_steps=1)
    with one_thread():
        whole = train(loop, case, tmp_path / "whole", **PARTS)
        killed = experiment_of(loop, case, tmp_path / "killed", **PARTS)
        kill_in_batch(8, killed)
        with pytest.raises(KilledError):
            killed.run()
        resumed = experiment_of(loop, case, tmp_path / "killed", **PARTS)
        resumed.table.keep_before(load_checkpoint(tmp_path / "killed" / "last.ckpt")["epoch"])
        trace = record(resumed.model)
        resumed.run()
    outcome = outcome_of(resumed, trace)
    assert trace.entries[0]["batch"] == whole.trace.entries[7]["batch"]  # after two of the second epoch's batches
    for mine, theirs in ((outcome.last, whole.last), (outcome.best, whole.best)):
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    times = ("samples_per_second", "seconds")
    rows = [[{k: str(v) for k, v in row.items() if k not in times} for row in one.rows] for one in (outcome, whole)]
    assert rows[0] == rows[1]


def kill_in_batch(number: int, experiment: Experiment) -> None:
    """Stop a training in a batch, counted from 0 over epochs, as if it was killed."""
    model: Any = experiment.model
    batches = iter(range(number))

    def loss(model: Any, batch: Any) -> Any:
        if torch.is_grad_enabled() and next(batches, None) is None:
            raise KilledError
        return type(model).loss(model, batch)

    model.loss = partial(loss, model)
