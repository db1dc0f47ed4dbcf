"""784-128-10 on MNIST with Lightning as it comes: metrics, CSV logger, progress bar and checkpoints.

Usage: python stock_mnist.py DATA EPOCHS. How fast each epoch trained is logged as samples_per_second.
"""

import sys
from time import perf_counter
from typing import Any

import torch
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics.classification import MulticlassAccuracy
from torchvision import datasets

BATCH = 64


class Classifier(LightningModule):
    """The network, its step and its metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        self.train_accuracy, self.val_accuracy = (MulticlassAccuracy(10, average="micro") for _ in range(2))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Compute the loss; log it and the accuracy, now and for the epoch."""
        images, labels = batch
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels)
        self.train_accuracy(logits, labels)
        self.log("train/loss", loss, prog_bar=True, on_epoch=True)
        self.log("train/acc", self.train_accuracy, prog_bar=True, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log loss and accuracy."""
        images, labels = batch
        logits = self.network(images)
        self.val_accuracy(logits, labels)
        self.log("val/loss", F.cross_entropy(logits, labels))
        self.log("val/acc", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Choose SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Speed(Callback):
    """Log how fast an epoch trained, without its validation, as our runs do."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.start, self.images = perf_counter(), 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        """Count the images."""
        self.images += len(batch[0])
        self.end = perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's figure."""
        pl_module.log("samples_per_second", self.images / (self.end - self.start))


def main(data: str, epochs: int) -> None:
    """Train, a tenth of the images being for validation, then test the best epoch's weights."""
    seed_everything(42)
    parts = [datasets.MNIST(data, train) for train in (True, False)]
    train, test = (TensorDataset(part.data.float().div(255).sub(0.1307).div(0.3081), part.targets) for part in parts)
    train_part, val_part = random_split(train, [0.9, 0.1])
    model, best = Classifier(), ModelCheckpoint(monitor="val/acc", mode="max", save_last=True)
    trainer = Trainer(max_epochs=epochs, logger=CSVLogger("."), callbacks=[best, Speed()])
    trainer.fit(model, DataLoader(train_part, BATCH, shuffle=True), DataLoader(val_part, BATCH))
    print(trainer.validate(model, DataLoader(test, BATCH), ckpt_path="best"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
