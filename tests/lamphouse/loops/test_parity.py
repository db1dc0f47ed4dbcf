"""Parity of two loops of someone else's module, which never heard of this project."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

from lamphouse.loops import Trace, compare, record

POINTS, TARGETS = torch.randn(22, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(22, 1)
WARNINGS = ("ignore:.*does not have many workers", "ignore:The number of training batches")


class Own(LightningModule):
    """A module with dropout, trained by the mean squared error."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, points: Tensor) -> Tensor:
        predictions: Tensor = self.layers(points)
        return predictions

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.mse_loss(self(batch[0]), batch[1])

    def configure_optimizers(self) -> SGD:
        return SGD(self.parameters(), lr=0.1, momentum=0.9)


def batches() -> DataLoader[Any]:
    return DataLoader(TensorDataset(POINTS, TARGETS), 4, generator=torch.Generator())


def by_trainer(folder: Path, method: str | None = None) -> Trace:
    seed_everything(0, verbose=False)
    model = Own()
    trace = record(model, method=method)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    Trainer(accelerator="cpu", max_epochs=2, enable_checkpointing=False, default_root_dir=folder, **quiet).fit(
        model, batches()
    )
    return trace


def by_plain_loop(forget_zero_grad: bool = False) -> Trace:
    seed_everything(0, verbose=False)
    model = Own()
    trace = record(model)
    optimizer = model.configure_optimizers()
    for _ in range(2):
        for number, batch in enumerate(batches()):
            model.training_step(batch, number).backward()
            optimizer.step()
            if not forget_zero_grad:
                optimizer.zero_grad()
    return trace


def by_plain_loop_of_a_plain_module() -> Trace:
    seed_everything(0, verbose=False)
    model = Own()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    trace = record(model, optimizer, method="forward")
    for _ in range(2):
        for points, targets in batches():
            optimizer.zero_grad()
            F.mse_loss(model(points), targets).backward()
            optimizer.step()
    return trace


@pytest.mark.filterwarnings(*WARNINGS)
def test_a_plain_loop_computes_the_bits_of_a_stock_trainer(tmp_path: Path) -> None:
    trainers, plain = by_trainer(tmp_path), by_plain_loop()
    assert compare(trainers, plain) is None
    assert plain.steps == trainers.steps == len(plain.entries) == 12
    assert plain.losses() == trainers.losses()


@pytest.mark.filterwarnings(*WARNINGS)
def test_a_mistake_in_it_is_found(tmp_path: Path) -> None:
    difference = compare(by_trainer(tmp_path), by_plain_loop(forget_zero_grad=True))
    assert str(difference) == "old gradient of layers.0.weight, step 1"


@pytest.mark.filterwarnings(*WARNINGS)
def test_any_module_is_recorded_by_its_forward(tmp_path: Path) -> None:
    assert compare(by_trainer(tmp_path, method="forward"), by_plain_loop_of_a_plain_module()) is None


def test_other_modules_of_the_class_are_not_recorded() -> None:
    trace, other = record(Own()), Own()
    other.training_step((POINTS, TARGETS), 0)
    assert trace.entries == []
