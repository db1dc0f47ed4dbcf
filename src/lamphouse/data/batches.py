"""Whole batches of samples, in an order that depends on the seed and the epoch alone, shared out between processes."""

import ctypes
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread
from time import sleep
from typing import Any

import torch
import torch.distributed as dist
from lightning_utilities import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, SequentialSampler

from lamphouse.data.samples import ALTERNATE, AUGMENT, ORDER, generator
from lamphouse.shards import Readable

SPLIT_AT_ONCE = 256  # batches: an epoch may have a million, and end before the last
Key = tuple[int, Tensor]  # the epoch, and the indices of a batch, int64 [B]


class SampleBatches(Dataset[tuple[Any, ...]]):
    """A data set whose items are whole batches, with random numbers for augmentations unless `alternates` is None.

    `alternates` states for each random number of a sample whether it is drawn once, and shifted by 0.5 (modulo 1) in
    every other epoch.
    """

    def __init__(self, samples: Readable, alternates: Sequence[bool] | None = None, seed: int = 0) -> None:
        self.samples, self.seed = samples, seed
        self.draws = alternates is not None
        self.alternates = torch.tensor(alternates or (), dtype=torch.bool)
        self._drawn = torch.empty(0)
        self._epoch = -1

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key) -> tuple[Any, ...]:
        """Fetch inputs, targets and, for augmentations, draws in [0, 1), [B, draws], and the epoch."""
        epoch, indices = key
        batch = self.samples[indices]
        return (*batch, self._draw(epoch)[indices], epoch) if self.draws else batch

    def _draw(self, epoch: int) -> Tensor:
        if epoch != self._epoch:  # for all samples at once, so that the numbers of one do not depend on its batch
            shape = (len(self), len(self.alternates))
            drawn = torch.rand(shape, generator=generator(AUGMENT, self.seed, epoch))
            if self.alternates.any():
                first = torch.rand(shape, generator=generator(ALTERNATE, self.seed))
                drawn = torch.where(self.alternates, (first + epoch % 2 / 2) % 1, drawn)
            self._drawn, self._epoch = drawn.to(self.samples.inputs.device), epoch
        return self._drawn


@dataclass(eq=False)
class BatchSampler(DistributedSampler[Any], SequentialSampler):
    """Samples the keys of whole batches, shared out between processes.

    A step takes the next `batch_size * world_size` samples of the epoch's order, and each process its share of them, so
    that the samples of a step do not depend on the number of processes. None comes twice, and all processes take as
    many steps: a last step without two samples for each process, which batch normalization needs, joins the one before;
    in evaluation, one without a sample for each. If there are fewer samples than that in all, several processes train
    on the same ones, and evaluate empty batches. The base classes make Lightning leave the sampler in place: the first
    in distributed training, the second with `overfit_batches`.
    """

    size: int  # of the data set
    batch_size: int  # of one process
    seed: int = 0
    train: bool = False  # shuffle anew in each epoch
    rank: int = 0
    world_size: int = 1
    device: torch.device | str = "cpu"  # of the indices, which are copied there once an epoch
    shuffled: Callable[[torch.Generator], Tensor] | None = None  # the order of an epoch; None for any, equally likely
    epoch = start = 0  # the second: samples of the epoch, of all processes, before the first batch

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    @property
    def together(self) -> int:
        """Samples of a step."""
        return self.batch_size * self.world_size

    @property
    def least(self) -> int:
        """Samples without which a last step joins the one before."""
        return self.world_size * (min(self.batch_size, 2) if self.train else 1)

    @property
    def joins_last(self) -> bool:
        """Whether the last batch of an epoch is joined to the one before."""
        return self.size > self.together and 0 < self.size % self.together < self.least

    @property
    def number(self) -> int:
        """The number of the first batch, counted so that the last one of the epoch is number `len(self) - 1`."""
        return len(self) - self._batches(self.size - self.start)

    def __len__(self) -> int:
        return self._batches(self.size)

    def _batches(self, samples: int) -> int:
        full, rest = divmod(samples, self.together)
        return full + (rest >= self.least or (rest > 0 and not full))

    def __iter__(self) -> Iterator[Key]:  # type: ignore[override]  # whole batches, not single samples
        """Yield the batches of the epoch after its first `start` samples."""
        own = self._order().to(self.device)[self.rank :: self.world_size]
        head = self.batch_size * (self._batches(self.size - self.start) - 1)  # samples before the last batch
        for some in own[:head].split(self.batch_size * SPLIT_AT_ONCE) if head > 0 else ():
            for indices in some.split(self.batch_size):
                yield self.epoch, indices
        if head >= 0:
            yield self.epoch, own[head:]

    def _order(self) -> Tensor:
        if not self.train:
            return torch.arange(self.start, self.size)
        random = generator(ORDER, self.seed, self.epoch)
        order = self.shuffled(random) if self.shuffled else torch.randperm(self.size, generator=random)
        order = order[self.start :]
        if 0 < len(order) < self.least and self.world_size > 1:
            order = order.repeat(-(-self.least // len(order)))  # each as often
        return order


class BatchLoader(DataLoader[Any]):
    """A DataLoader that can save the position of the batch in use, not of those fetched ahead, and continue from it.

    The position is the number of the epoch's samples that all processes have used, whose number may change meanwhile.
    """

    sampler: BatchSampler
    used = 0  # samples

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # as good as DataLoader's own iterators
        self.used = self.sampler.start
        if current_thread() is main_thread():  # Linux means the end of the thread that starts a process
            self.worker_init_fn = self.worker_init_fn or end_with_parent
        if self.num_workers and dist.is_available() and dist.is_initialized():
            # a thread of gloo's that starts to run Python now would leave a lock taken in a worker, for ever
            sleep(0.05)
        plain = not (self.num_workers or self.pin_memory)  # then DataLoader's iterator would only cost time
        with without_signals():
            batches = (list(self.dataset[key]) for key in self.sampler) if plain else super().__iter__()
        for batch in batches:
            self.used += self.sampler.together
            yield batch

    @property
    def number(self) -> int:
        """The number, within the epoch, of the batch that comes first after `load_state_dict`."""
        return self.sampler.number

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "samples": min(self.used, self.sampler.size)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continue from a position, which may be given in batches instead: `{"epoch": 2, "batch": 7}`."""
        self.sampler.epoch = state_dict["epoch"]
        self.sampler.start = state_dict.get("samples", state_dict.get("batch", 0) * self.sampler.together)


def loss_of_none(loss: Callable[[Any], tuple[Tensor, Any]], batch: Any) -> tuple[Tensor, Any]:
    """Compute the loss of one sample of zeros for an empty batch, as other processes wait for it; predict nothing."""
    value, predictions = loss(apply_to_collection(batch, Tensor, lambda values: values.new_zeros(1, *values.shape[1:])))
    return value, apply_to_collection(predictions, Tensor, lambda values: values[:0])


def weighted(loss: Tensor, samples: int, trainer: Any) -> Tensor:
    """Weigh the mean loss of a last batch by its samples, so that the mean of all gradients is that of all samples."""
    alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
    if alone or trainer is None or not trainer.is_last_batch:
        return loss  # all processes have as many
    count = torch.full((), samples, dtype=torch.float32, device=loss.device)
    mean: Tensor = trainer.strategy.reduce(count.clone(), reduce_op="mean")
    return loss * (count / mean).to(loss.dtype)


def end_with_parent(_: int) -> None:
    """Have Linux kill this process, a worker, when the one that started it ends; a broken pipe would be a traceback."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG


@contextmanager
def without_signals() -> Iterator[None]:
    """Have the processes that are started here, such as workers, leave signals to the one that trains."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
