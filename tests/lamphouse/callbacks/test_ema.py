"""A moving average of the weights is validated, tested and kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from stock import QUIET

from lamphouse.callbacks import EMA


class Weights(Callback):
    """Collects the weights after each step, in training and in validation."""

    def __init__(self) -> None:
        self.trained: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []
        self.tested: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.trained.append(pl_module.layer.weight.detach().clone())

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.validated.append(pl_module.layer.weight.detach().clone())

    def on_test_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.tested.append(pl_module.layer.weight.detach().clone())


def test_it_averages_in_a_stock_trainer() -> None:
    weights, checkpoint = Weights(), ModelCheckpoint(Path(), "last")
    options = QUIET | {"enable_checkpointing": True, "num_sanity_val_steps": 0, "max_epochs": 1}
    trainer = Trainer(callbacks=[EMA(0.75), weights, checkpoint], **options)
    model = BoringModel()
    trainer.fit(model)
    average = weights.trained[0]
    for trained in weights.trained[1:]:
        average = 0.75 * average + 0.25 * trained
    assert torch.allclose(model.layer.weight, average)
    assert all(torch.equal(validated, model.layer.weight) for validated in weights.validated)
    saved = torch.load("last.ckpt", weights_only=True)
    assert torch.equal(saved["state_dict"]["layer.weight"], model.layer.weight)
    assert torch.equal(saved["current_model_state"]["layer.weight"], weights.trained[-1])
    trainer.test(model, ckpt_path="last.ckpt", weights_only=True, verbose=False)
    assert torch.equal(weights.tested[0], saved["state_dict"]["layer.weight"])


@pytest.mark.parametrize("decay", ["1", "-0.1", "much"])
def test_its_decay_is_between_0_and_1(fit: Callable[..., Any], decay: str) -> None:
    done = fit(f"--ema={decay}")
    assert done.status == 2
    assert done.err.startswith(f"arc_light fit: --ema {decay}: expected")
