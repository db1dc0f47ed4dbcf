"""Every example of docs/parts.md runs as it stands, with a stock Trainer and a module that is not of lamphouse."""

import re
from importlib import import_module
from typing import Any

import pytest
import torch
from conftest import ROOT
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanAbsoluteError

PAGE = (ROOT / "docs" / "parts.md").read_text()
LIGHTNING = (Callback, CheckpointIO, Logger, Profiler)  # what a Trainer takes
EXAMPLES = re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)


class Model(BoringModel):
    """Lightning's own model, which takes inputs with and without targets."""

    def step(self, batch: Any) -> Tensor:
        return super().step(batch if isinstance(batch, Tensor) else batch[0])

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        output: Any = super().validation_step(batch, batch_idx)
        self.log("val_loss", output["x"])
        return output


class Data(LightningDataModule):
    """Inputs and targets from a stock loader."""

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.randn(8, 32), torch.randn(8, 2)), batch_size=2)

    val_dataloader = train_dataloader


class QuietTrainer(Trainer):
    """A Trainer that computes little and prints nothing."""

    def __init__(self, **options: Any) -> None:
        saves = any(isinstance(callback, Checkpoint) for callback in options.get("callbacks", ()))
        few = {"limit_train_batches": 2, "limit_val_batches": 2, "accelerator": "cpu", "log_every_n_steps": 1}
        super().__init__(
            **{"logger": False, "enable_model_summary": False, "enable_checkpointing": saves, **few, **options}
        )


@pytest.fixture
def names() -> dict[str, Any]:
    """What the page assumes: a model, its optimizer and its data."""
    model = Model()
    model.trainer = QuietTrainer(max_epochs=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    known = {"Trainer": QuietTrainer, "torch": torch, "MeanAbsoluteError": MeanAbsoluteError}
    twin = Model()
    twin.load_state_dict(model.state_dict())
    return {**known, "model": model, "twin": twin, "optimizer": optimizer, "data": Data()}


@pytest.mark.parametrize(("title", "text"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_example(title: str, text: str, names: dict[str, Any]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    if title == "Shards":
        pytest.importorskip("litdata", reason="make extra EXTRA=streaming installs what is tested here")
    exec(code, names)  # noqa: S102  # the page's own code
    trainer = names.get("trainer", names["model"].trainer)
    trainer.fit(names["model"], datamodule=names["data"])
    assert trainer.state.finished
    assert names.get("difference") is None


def test_every_part_names_its_tests() -> None:
    for title, text in EXAMPLES:
        named = re.findall(r"`(tests/[\w/.]+)`", text)
        assert named, title
        assert all((ROOT / path).exists() for path in named), named


@pytest.mark.parametrize("room", ["callbacks", "checkpoints", "loggers"])
def test_every_part_is_on_the_page(room: str) -> None:
    exported = vars(import_module(f"lamphouse.{room}"))
    parts = [name for name, part in exported.items() if isinstance(part, type) and issubclass(part, LIGHTNING)]
    assert [name for name in parts if name not in PAGE] == []
