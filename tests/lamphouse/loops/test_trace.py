"""Fingerprints differ where bits do, and recording changes nothing."""

import math
from pathlib import Path

import pytest
import torch
from cases import HANDWRITTEN, Case, experiment_of, one_thread, outcome_of
from torch import Tensor, nn

from lamphouse.loops import Trace, record
from lamphouse.loops.trace import fingerprint


@pytest.mark.parametrize(
    ("mine", "yours"),
    [
        (torch.tensor(0.0), torch.tensor(-0.0)),
        (torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])),
        (torch.tensor(1.0), torch.tensor(1.0 + 2**-23)),
        (torch.tensor([True, False]), torch.tensor([False, True])),
        (torch.tensor([1, 2]), torch.tensor([1, 3])),
        (torch.ones(2, dtype=torch.bfloat16), torch.tensor([1, 1.0078125], dtype=torch.bfloat16)),
    ],
)
def test_different_bits_have_different_fingerprints(mine: Tensor, yours: Tensor) -> None:
    assert fingerprint(mine) != fingerprint(yours)
    assert fingerprint(mine) == fingerprint(mine.clone())


def test_a_fingerprint_is_of_the_values_in_whichever_layout() -> None:
    assert fingerprint(torch.tensor(math.nan)) == fingerprint(torch.tensor(math.nan))
    images = torch.rand(2, 3, 4, 5)
    assert fingerprint(images) == fingerprint(images.to(memory_format=torch.channels_last))
    assert fingerprint(torch.zeros(0)) == fingerprint(torch.zeros(0))


@pytest.mark.parametrize("ema", [None, 0.9])
def test_it_changes_nothing(ema: float | None, tmp_path: Path) -> None:
    outcomes = []
    for recorded in (False, True):
        experiment = experiment_of(HANDWRITTEN, Case(epochs=1, ema=ema), tmp_path / str(recorded))
        trace = record(experiment.model) if recorded else Trace(nn.Identity())
        with one_thread():
            experiment.run()
        outcomes.append(outcome_of(experiment, trace))
    without, with_record = outcomes
    assert all(torch.equal(tensor, with_record.best[name]) for name, tensor in without.best.items())
    assert [row["val/loss"] for row in without.rows[:1]] == [row["val/loss"] for row in with_record.rows[:1]]
    trace = with_record.trace
    assert len(trace.losses()) == trace.steps == len(trace.seconds) + 1 == 5
    assert trace.seconds_per_step() > 0
