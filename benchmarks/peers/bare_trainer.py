"""784-128-10 on MNIST with Lightning's loop and nothing else: no metrics, logger, progress bar, checkpoints or hooks.

Usage: python bare_trainer.py DATA EPOCHS. Images, batches and optimizer are those of raw_loop.py; it prints the seconds
of each epoch per 1,000 steps. What this takes beyond raw_loop.py, no project that stands on Lightning can save.
"""

import sys
from collections.abc import Iterator
from math import ceil
from time import perf_counter

import torch
from lightning import LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import datasets

BATCH = 64


class Batches:
    """Whole batches of images in memory, in a new order each epoch."""

    def __init__(self, data: str) -> None:
        part = datasets.MNIST(data, train=True)
        self.size = len(part.data) * 9 // 10
        self.images, self.labels = part.data[: self.size].unsqueeze(1), part.targets[: self.size]

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return ceil(self.size / BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Fetch and normalise the batches of an epoch."""
        for rows in torch.randperm(self.size).split(BATCH):
            yield self.images[rows].float().mul_(1 / (255 * 0.3081)).sub_(0.1307 / 0.3081), self.labels[rows]


class Network(LightningModule):
    """The network and its loss; it prints how long an epoch took."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))

    def on_train_epoch_start(self) -> None:
        """Start the clock."""
        self.start = perf_counter()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Compute the loss."""
        return F.cross_entropy(self.layers(batch[0]), batch[1])

    def on_train_epoch_end(self) -> None:
        """Print the epoch's figure."""
        seconds = perf_counter() - self.start
        print(f"epoch {self.current_epoch} {1000 * seconds / self.trainer.num_training_batches}", flush=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Choose SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


def main(data: str, epochs: int) -> None:
    """Train."""
    torch.set_num_threads(1)
    seed_everything(42)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Network(), Batches(data))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
