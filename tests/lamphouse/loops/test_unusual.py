"""Unusual but legal models and data of a user's own, through the commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CONFIGS
from same_runs import assert_same, run_in

Command = Callable[..., Any]
OWN = """
import torch
from pathlib import Path
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from lightning.pytorch import LightningDataModule, LightningModule
from arc_light.models.mlp import MLPClassifier

class Points(LightningDataModule):
    def setup(self, stage):
        x = torch.randn(42, 4, generator=torch.Generator().manual_seed(0))
        self.points = TensorDataset(x, x.sum(1, keepdim=True))
    def train_dataloader(self): return DataLoader(self.points, 7, shuffle=True)
    def val_dataloader(self): return DataLoader(self.points, 7)
    test_dataloader = val_dataloader

class OnlyTrain(LightningDataModule):
    setup, train_dataloader = Points.setup, Points.train_dataloader

class Two(Points):
    def train_dataloader(self): return {"a": super().train_dataloader(), "b": super().train_dataloader()}

class Mine(LightningModule):
    '''A regressor without num_classes and input_shape.'''
    def __init__(self, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, 1))
    def error(self, batch): return F.mse_loss(self.layers(batch[0]), batch[1])
    def training_step(self, batch, batch_idx):
        if Path("kill").exists() and self.global_step == 8:
            Path("kill").unlink()
            raise GeneratorExit
        loss = self.error(batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss
    def validation_step(self, batch, batch_idx): self.log("val/loss", self.error(batch))
    def test_step(self, batch, batch_idx): self.log("test/loss", self.error(batch))
    def configure_optimizers(self): return torch.optim.Adam(self.parameters(), 0.01)

class Bare(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
    def training_step(self, batch): return F.mse_loss(self.layer(batch[0]), batch[1])
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), 0.1)

class Closure(Mine):
    def configure_optimizers(self): return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)

class Nested(Mine):
    def training_step(self, batch, batch_idx): return super().training_step(batch["a"], batch_idx)
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        return ({"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1)},)

class Strange(Mine):
    '''Buffers of all kinds, shared parameters, a generator, its own optimizer, and skipped batches.'''
    def __init__(self):
        super().__init__()
        self.again, self.other = self.layers[3], nn.Linear(4, 1)
        self.inner = torch.optim.SGD(self.other.parameters(), 0.1)
        self.register_buffer("complex", torch.ones(2, dtype=torch.complex64))
        self.register_buffer("steps", torch.zeros(1), persistent=False)
        self.generator = torch.Generator().manual_seed(1)
    def get_extra_state(self): return {"steps": float(self.steps), "half": torch.ones(2)}
    def set_extra_state(self, state): pass
    def training_step(self, batch, batch_idx):
        self.steps += 1
        self.complex *= 1j
        self.inner.zero_grad()
        F.mse_loss(self.other(batch[0]), batch[1]).backward()
        self.inner.step()
        noise = torch.randn(batch[0].shape, generator=self.generator)
        return None if batch_idx % 3 else {"loss": super().training_step((batch[0] + noise, batch[1]), batch_idx)}

class Hooked(Mine):
    def optimizer_step(self, epoch, batch_idx, optimizer, closure):
        optimizer.param_groups[0]["lr"] = 0.01 / (self.trainer.global_step + 1)
        optimizer.step(closure=closure)
    def optimizer_zero_grad(self, epoch, batch_idx, optimizer): optimizer.zero_grad(set_to_none=False)
    def on_train_batch_start(self, batch, batch_idx): self.layers[0].requires_grad_(batch_idx % 2 == 0)
    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        nn.utils.clip_grad_norm_(self.parameters(), 0.1)

class Manual(Mine):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
    def training_step(self, batch, batch_idx):
        self.optimizers().zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        self.optimizers().step()

class Several(Mine):
    def configure_optimizers(self): return [torch.optim.SGD(self.parameters(), 0.1) for _ in range(2)]

class Nothing(Mine):
    def configure_optimizers(self): return None

class Otherwise(MLPClassifier):
    '''Trains on another loss than `loss`.'''
    def training_step(self, batch, batch_idx): return self.step("train", batch) ** 2

class Untold(MLPClassifier):
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), 0.1)

class Needy(MLPClassifier):
    def configure_optimizers(self): return torch.optim.LBFGS(self.parameters(), 0.1, max_iter=2)
"""
VALIDATED = ["--early_stopping.monitor=val/loss", "--best_checkpoint.monitor=val/loss"]
SAME = "the loops computed the same bits"
ONLY = "arc_light parity: only Trainer.fit trains this, so that there is nothing to compare: train it with fit\n"
ALONE = "left out: configure_optimizers: expected one optimizer with at most one scheduler"


@pytest.fixture
def options(own: Callable[[str], str]) -> Callable[..., list[object]]:
    own(OWN)
    fixed = ["-c", CONFIGS / "trainer.yaml", "--trainer.accelerator=cpu", "--logger=none", "--trainer.max_epochs=2"]
    return lambda model, data: [*fixed, *VALIDATED, f"--model=own.{model}", f"--data={data}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data", "left_out"),
    [
        ("Closure", "own.Points", "hand-written loop needs a Task"),
        ("Bare", "own.OnlyTrain", "hand-written loop needs a Task"),
        ("Nested", "own.Two", "hand-written loop needs a Task"),
        ("Strange", "own.Points", "hand-written loop needs a Task"),
        ("Hooked", "own.Points", "hand-written loop needs a Task"),
        ("Otherwise", "DigitsDataModule", "Otherwise.training_step: the hand-written loop does not call it"),
        ("Untold", "DigitsDataModule", ""),
        ("Needy", "DigitsDataModule", "LBFGS: the hand-written loop has no closure"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*training_step. returned .None", "ignore:You (passed in|defined) a")
def test_parity_compares_it(
    arc: Command, options: Callable[..., list[object]], model: str, data: str, left_out: str
) -> None:
    few = ["--trainer.limit_train_batches=5", "--trainer.accumulate_grad_batches=2"]
    done = arc("parity", *options(model, data), *few)
    assert done.status == 0, done.out + done.err
    assert SAME in done.out
    assert left_out in done.err
    assert bool(left_out) == ("left out" in done.err)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "reason"),
    [("Manual", "left out: --loop manual: Manual optimizes"), ("Several", ALONE), ("Nothing", ALONE)],
)
def test_parity_says_that_only_the_trainer_can(
    arc: Command, options: Callable[..., list[object]], model: str, reason: str
) -> None:
    done = arc("parity", *options(model, "own.Points"))
    assert done.status == 2
    assert reason in done.err
    assert done.err.endswith(ONLY)


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_bits_and_evaluated(
    arc: Command, options: Callable[..., list[object]]
) -> None:
    assert arc("fit", *options("Mine", "own.Points"), "--runs=whole").status == 0
    Path("kill").touch()
    with pytest.raises(GeneratorExit):
        arc("fit", *options("Mine", "own.Points"), "--runs=killed")
    resumed = arc("resume", "--run=killed")
    assert (resumed.status, resumed.err) == (0, "")
    assert_same(run_in("killed"), run_in("whole"))
    assert arc("evaluate", "--run=killed").status == 0
    assert arc("predict", "--run=killed", "--input=own.py").err.count("\n") == 1


@pytest.mark.filterwarnings("ignore:You (passed in|defined) a")
def test_what_it_lacks_is_said(arc: Command, options: Callable[..., list[object]]) -> None:
    done = arc("fit", *options("Bare", "own.OnlyTrain"))
    notes = ["nothing was validated: best.ckpt has the last weights", "there is no test without Bare.test_step"]
    assert (done.status, done.err) == (0, "".join(f"note: {note}\n" for note in notes))
    done = arc("evaluate", "--run=runs")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert done.err.endswith("nothing to evaluate without Bare.validation_step or Bare.test_step\n")
    done = arc("fit", *options("Several", "own.Points"), "--runs=several")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "Training with multiple optimizers is only supported with manual" in done.err
