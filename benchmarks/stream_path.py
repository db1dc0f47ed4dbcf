"""A data path in a child process, from memory or from shards, which prints its measurements as JSON.

Usage: python -m benchmarks.stream_path OPTIONS, as JSON: see `Request`.
"""

import json
import resource
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from lamphouse.data import Batch, ImageDataModule, RandomCrop, RandomFlip, Samples
from lamphouse.machine.memory import out_of_memory
from lamphouse.shards import Shards, options_of_samples, write_part
from benchmarks.processes import UNIT

SHAPE, BATCH = (3, 28, 28), 128
MIB = 2**20


@dataclass(frozen=True)
class Request:
    """What to measure.

    Args:
        images: their number.
        shards: directory of shards, which are only written if it is not there; None holds the images in memory.
        folder: directory of image files, which torchvision's ImageFolder reads instead.
        limit: MiB that the process may allocate after its imports; 0 for any number.
    """

    images: int
    shards: str | None = None
    folder: str | None = None
    limit: int = 0


class Drawn:
    """Random images, drawn when they are indexed."""

    rows = None

    def __init__(self, images: int) -> None:
        self.inputs, self.targets = torch.empty(0, *SHAPE, dtype=torch.uint8), torch.arange(images) % 10

    def __len__(self) -> int:
        """Count the images."""
        return len(self.targets)

    def __getitem__(self, indices: slice) -> Batch:
        """Draw some of them."""
        targets = self.targets[indices]
        return torch.randint(256, (len(targets), *SHAPE), dtype=torch.uint8), targets


class RandomImages(ImageDataModule):
    """Random images of a given number."""

    classes = tuple("0123456789")
    input_shape, mean, std = SHAPE, (0.5,), (0.25,)

    def __init__(self, images: int, **kwargs: Any) -> None:
        super().__init__(val_fraction=0.01, augment=[RandomFlip(), RandomCrop()], **kwargs)
        self.images = images

    def load(self, train: bool) -> Samples:
        """Draw all images at once."""
        return Samples(*Drawn(self.images if train else 10)[:])


def write(folder: Path, images: int) -> None:
    """Write shards of images that are drawn as they are written."""
    data, counts = RandomImages(images), {"train": images, "val": 10, "test": 10}
    parts = {part: write_part(folder / part, Drawn(count), 32 * 10**6, mixed=32) for part, count in counts.items()}
    Shards("RandomImages", options_of_samples(data.hparams), 0, {}, parts).write_index(folder)


def measure(request: Request) -> dict[str, float]:
    """Measure images per CPU second over an epoch, ready for the model, and by how many MiB peak memory grows."""
    torch.set_num_threads(1)
    data, before = RandomImages(request.images, shards=request.shards, batch_size=BATCH), peak()
    if request.folder:
        steps = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(SHAPE[1:], 4), transforms.ToTensor()]
        prepared = transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.25] * 3)])
        batches: Any = DataLoader(ImageFolder(request.folder, prepared), BATCH, shuffle=True)
    else:
        data.prepare_data()
        data.setup("fit")
        batches = (data.on_after_batch_transfer(batch) for batch in data.train_dataloader())
    start = process_time()
    images = sum(len(labels) for _, labels in batches)
    return {"images/s": images / (process_time() - start), "growth": (peak() - before) / MIB}


def peak() -> int:
    """Return the peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


def allow(mib: int) -> None:
    """Have allocations fail that take the process beyond what it has now and a number of MiB more."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
    limit = int(status["VmData"].split()[0]) * 1024 + mib * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main(request: Request) -> dict[str, float]:
    """Measure what is requested; the rate is 0 where memory is not enough."""
    if request.shards and not Path(request.shards).exists():
        write(Path(request.shards), request.images)
        return {}
    if request.shards:
        import_module("litdata.streaming")  # which is no memory for data
    if request.limit:
        allow(request.limit)
    try:
        return measure(request)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return {"images/s": 0, "growth": 0}


if __name__ == "__main__":
    print(json.dumps(main(Request(**json.loads(sys.argv[1])))))
