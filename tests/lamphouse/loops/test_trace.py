"""Fingerprints tell tensors apart by their bits, and a trace takes part in nothing."""

import math
from pathlib import Path

import pytest
import torch
from cases import AUTOMATIC, Case, experiment_of, one_thread, run_quietly
from torch import Tensor

from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.loops.trace import Trace, fingerprint, trace
from lamphouse.runs.directory import Run


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


def test_it_takes_part_in_nothing(tmp_path: Path) -> None:
    weights = []
    for traced in (False, True):
        run = Run(tmp_path / str(traced))
        run.path.mkdir()
        experiment = experiment_of(AUTOMATIC, Case(epochs=1), run)
        noted = trace(experiment.model) if traced else Trace()
        with one_thread():
            run_quietly(experiment)
        weights.append(load_checkpoint(run.last)["state_dict"])
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert len(noted.losses()) == noted.steps == len(noted.seconds) + 1 == 5
    assert noted.seconds_per_step() > 0
