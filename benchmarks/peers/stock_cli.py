"""The digits with LightningCLI as it comes: the model and the data of `digits_mlp`, and nothing else.

Usage: python stock_cli.py DIGITS fit [--OPTION VALUE ...], DIGITS being the file of images, digits.npz.
"""

import sys

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split
from torchmetrics.classification import MulticlassAccuracy

Batch = tuple[Tensor, ...]


class Classifier(LightningModule):
    """The network 64-256-256-10."""

    def __init__(self, lr: float = 0.01, weight_decay: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
        )
        self.accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss, and log it."""
        images, labels = batch
        loss = F.cross_entropy(self.network(images), labels)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy."""
        images, labels = batch
        logits = self.network(images)
        self.log("val/loss", F.cross_entropy(logits, labels))
        self.accuracy(logits, labels)
        self.log("val/acc", self.accuracy, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Choose AdamW."""
        options = self.hparams
        return torch.optim.AdamW(self.parameters(), lr=options["lr"], weight_decay=options["weight_decay"])


class Digits(LightningDataModule):
    """The embedded digits."""

    def __init__(self, file: str, batch_size: int = 64) -> None:
        super().__init__()
        self.file, self.batch_size = file, batch_size

    def setup(self, stage: str) -> None:
        """Read and split the images."""
        with np.load(self.file) as arrays:
            images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
        digits: Dataset[Batch] = TensorDataset((images / 16).sub(0.305).div(0.376), labels.long())
        self.train, self.val = random_split(digits, [0.9, 0.1])

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffle the training images."""
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Go through the validation images."""
        return DataLoader(self.val, self.batch_size)


if __name__ == "__main__":
    digits, *options = sys.argv[1:]
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "."}}
    LightningCLI(Classifier, Digits, trainer_defaults={"logger": logger}, args=[*options, f"--data.file={digits}"])
