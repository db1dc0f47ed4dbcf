"""What the tests with a stock Trainer share: each part does its work without the rest of this repository."""

from typing import Any

import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import Tensor
from torch.utils.data import DataLoader

# a Trainer that is quick and writes no files of its own
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "max_epochs": 2,
    "limit_train_batches": 4,
    "limit_val_batches": 2,
    "limit_test_batches": 2,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "logger": False,
}


class LoggingModel(BoringModel):
    """Logs metrics of other names than a Task's."""

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        output: dict[str, Tensor] = super().training_step(batch, batch_idx)
        self.log("train_loss", output["loss"], prog_bar=True)
        return output

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("perplexity", super().validation_step(batch, batch_idx)["x"].exp())


class DictionaryModel(BoringModel):
    """Takes batches that are dictionaries."""

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        output: dict[str, Tensor] = super().training_step(batch["inputs"], batch_idx)
        return output

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader([{"inputs": row, "name": "row"} for row in torch.randn(8, 32)], batch_size=2)


class UnstableModel(BoringModel):
    """Its loss is NaN in one batch, counted from 0."""

    bad_batch = 2

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        output: dict[str, Tensor] = super().training_step(batch, batch_idx)
        return {"loss": output["loss"] * float("nan")} if batch_idx == self.bad_batch else output
