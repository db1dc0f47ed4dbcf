"""Run a function in several processes that talk to each other."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing


def run_ranks(function: Callable[[], Any], world_size: int) -> list[Any]:
    """Call `function` in each process of a group, and return what each returned, in the order of their ranks."""
    multiprocessing.spawn(_one, (function, world_size, str(Path.cwd())), nprocs=world_size)
    return [torch.load(f"{rank}.pt", weights_only=True) for rank in range(world_size)]


def _one(rank: int, function: Callable[[], Any], world_size: int, folder: str) -> None:
    os.chdir(folder)
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=world_size)
    torch.save(function(), f"{rank}.pt")
    dist.destroy_process_group()


def measure_digits() -> dict[str, Any]:
    """Measure what this process's loaders give with a fixed model; the figures are those of all processes."""
    from lamphouse.data import Samples  # noqa: PLC0415  # in the child only
    from arc_light.data.digits import DigitsDataModule  # noqa: PLC0415  # in the child only
    from arc_light.models.mlp import MLPClassifier  # noqa: PLC0415  # in the child only

    class Noting(DigitsDataModule):
        def load(self, train: bool) -> Samples:
            self.process = os.getpid()
            return super().load(train)

    torch.manual_seed(0)
    model = MLPClassifier(input_shape=(1, 8, 8), num_classes=10).eval()
    data = Noting(batch_size=50)
    data.setup("fit")
    measured: dict[str, Any] = {"loaded by": data.process}  # type: ignore[attr-defined]  # set below
    parts = {
        "train": (data.train_dataloader(), model.training_step, model.train_metrics),
        "val": (data.val_dataloader(), model.validation_step, model.val_metrics),
    }
    for part, (loader, step, metrics) in parts.items():
        labels = []
        for index, batch in enumerate(loader):
            step(data.on_after_batch_transfer(batch), index)
            labels.append(batch[1])
        images = int(metrics.sums[2])
        figures = {name: float(value) for name, value in metrics.compute().items()}
        measured[part] = {"labels": torch.cat(labels), "steps": len(labels), "images": images, **figures}
    return measured
