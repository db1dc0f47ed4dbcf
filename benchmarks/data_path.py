"""Our data path alone, in a child process that prints its measurements as JSON.

Usage: python -m benchmarks.data_path OPTIONS, as JSON: see `Request`.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Any

import torch

from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.data import Batch, ImageDataModule, ImageFolderDataModule, Samples
from benchmarks.ours import CONFIGS


class RandomImages(ImageDataModule):
    """Random images of a given number and shape.

    Args:
        images: their number.
        shape: channels, height, width.
        like: provides batch size and augmentation.
    """

    classes = tuple("0123456789")
    mean, std = (0.5,), (0.25,)

    def __init__(self, images: int, shape: tuple[int, int, int], like: ImageDataModule) -> None:
        super().__init__(batch_size=like.batch_size, val_fraction=0.01, augment=like.augment)
        self.images, self.input_shape = images, shape

    def load(self, train: bool) -> Samples:
        """Draw images; only a few for the test."""
        count = self.images if train else len(self.classes)
        images = torch.randint(256, (count, *self.input_shape), dtype=torch.uint8)
        return Samples(images, torch.arange(count) % len(self.classes))


@dataclass(frozen=True)
class Request:
    """What to measure.

    Args:
        experiment: provides batch size, augmentation and model.
        images: number to draw; None reads a folder.
        root: the folder.
        side: of its images in pixels; None is the experiment's.
        cache: directory for its scaled images.
        batches: number to iterate over.
        steps: training steps on one batch; 0 takes none.
    """

    experiment: str
    images: int | None = None
    root: str | None = None
    side: int | None = None
    cache: str | None = None
    batches: int = 100
    steps: int = 0


def batches_of(data: ImageDataModule, device: torch.device) -> Iterator[Batch]:
    """Iterate over training batches, on the device and ready for the model."""
    for batch in data.train_dataloader():
        yield data.on_after_batch_transfer(data.transfer_batch_to_device(batch, device, 0))


def now(device: torch.device) -> float:
    """Return the time in seconds, once the device has finished its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return perf_counter()


def appetite(experiment: Experiment, batch: Batch, steps: int) -> float:
    """Measure training on one batch, images/s; the first step warms up."""
    device = batch[0].device
    model: Any = experiment.model.to(device)
    configured = model.configure_optimizers(steps + 1)
    optimizer = configured["optimizer"] if isinstance(configured, dict) else configured
    model.setup("fit")
    for step in range(steps + 1):
        if step == 1:
            start = now(device)
        with experiment.trainer.precision_plugin.forward_context():
            loss, _ = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps * len(batch[0]) / (now(device) - start)


def data_of(request: Request, like: ImageDataModule) -> ImageDataModule:
    """Build the data module."""
    if request.images is None:
        size = request.side or like.input_shape[1]
        return ImageFolderDataModule(
            request.root or "", image_size=size, cache_dir=request.cache, batch_size=like.batch_size
        )
    return RandomImages(request.images, like.input_shape, like)


def measure(request: Request) -> dict[str, float]:
    """Measure seconds to the first batch, imports excluded, and images/s."""
    files = ["-c", str(CONFIGS / "trainer.yaml"), "-c", str(CONFIGS / f"{request.experiment}.yaml")]
    experiment = Experiment(Project("arc_light"), "fit", files)
    device = experiment.trainer.strategy.root_device
    data = data_of(request, experiment.datamodule)
    start = perf_counter()
    data.prepare_data()
    for stage in ("fit", "test"):
        data.setup(stage)
    set_up = perf_counter()
    batches = batches_of(data, device)
    first = next(batches)
    found = {"setup": set_up - start, "first batch": now(device) - set_up}
    start = now(device)
    images = sum(len(labels) for _, labels in islice(batches, request.batches))
    found["epoch"] = now(device) - start  # or the requested number of batches
    found["images/s"] = images / found["epoch"]
    if request.steps:
        found["appetite"] = appetite(experiment, first, request.steps)
    return found


if __name__ == "__main__":
    print(json.dumps(measure(Request(**json.loads(sys.argv[1])))))
