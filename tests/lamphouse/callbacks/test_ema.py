"""A moving average of the weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lamphouse.callbacks import EMA
from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.cli.experiment import Experiment


def test_it_is_what_is_kept_and_tested(fit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    models = []
    remember = Experiment.load_data
    monkeypatch.setattr(Experiment, "load_data", lambda self: (models.append(self.model), remember(self)))
    assert fit("--ema=0.9", "--trainer.max_epochs=3").status == 0
    best = load_checkpoint(next(Path("runs").glob("*/*")) / "best.ckpt")
    tested = models[0].state_dict()  # which the test has loaded
    assert all(torch.equal(tensor, tested[name]) for name, tensor in best["state_dict"].items())
    trained = best["current_model_state"]
    assert any(not torch.equal(tensor, tested[name]) for name, tensor in trained.items())


def test_it_keeps_as_much_of_itself_as_it_is_told() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = EMA(0.75)
    average._average_model = torch.optim.swa_utils.AveragedModel(network, **average._kwargs)
    for value in (1.0, 5.0):
        network.weight.data.fill_(value)
        average._average_model.update_parameters(network)
    assert average._average_model.module.weight.item() == 0.75 * 1.0 + 0.25 * 5.0


@pytest.mark.parametrize("decay", ["0", "1", "1.5", "-0.1", "much"])
def test_its_decay_is_between_0_and_1(fit: Callable[..., Any], decay: str) -> None:
    done = fit(f"--ema={decay}")
    assert done.status == 2
    assert done.err.startswith(f"arc_light fit: --ema {decay}: expected")
