"""The batches of each epoch, on the device and ready for the model."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm


class Batches:
    """Goes through a loader, an epoch at a time.

    Args:
        loader: of batches, each a sequence of tensors, images and labels first.
        device: where they are wanted.
        prepare: augments and normalises a batch on the device.
        count: batches of an epoch; None is all.
        quiet: show no bar, even on a terminal.
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        device: torch.device,
        prepare: Callable[[Any], Any] = lambda batch: batch,
        count: int | None = None,
        quiet: bool = False,
    ) -> None:
        self.loader, self.device, self.prepare, self.quiet = loader, device, prepare, quiet
        self.count = len(loader) if count is None else count

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return self.count

    def epoch(self, epoch: int, start: int = 0) -> "tqdm[Any]":
        """Begin an epoch, in an order of its own, at a batch counted from 0, with a bar on a terminal."""
        samplers: tuple[Any, ...] = self.loader.sampler, getattr(self.loader.batch_sampler, "sampler", None)
        for sampler in samplers:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        if start:
            cast("Any", self.loader).load_state_dict({"epoch": epoch, "batch": start})
        ready = self._ready(self.count - start)
        return tqdm(ready, f"epoch {epoch}", self.count, initial=start, leave=False, disable=self.quiet or None)

    @property
    def resumable(self) -> bool:
        """Say whether an epoch can begin at any batch."""
        return hasattr(self.loader, "load_state_dict")

    def _ready(self, count: int) -> Iterator[Any]:
        for batch in islice(self.loader, count):  # none is asked for beyond, which could draw random numbers
            yield self.prepare([on_device(part, self.device) for part in batch])


def on_device(part: Any, device: torch.device) -> Any:
    """Copy a part of a batch to the device, if it is a tensor, without waiting for it."""
    return part.to(device, non_blocking=True) if isinstance(part, Tensor) else part
