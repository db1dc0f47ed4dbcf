"""A data module for tensors in memory: splits and loaders."""

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jsonargparse.typing import NonNegativeInt, OpenUnitInterval, PositiveInt
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.utils.data import DataLoader

from lamphouse.data.arrays import read_array
from lamphouse.data.batches import BatchLoader, BatchSampler, SampleBatches
from lamphouse.data.samples import Samples, is_labels, is_table
from lamphouse.errors import InputError, short_path
from lamphouse.machine.sharing import load_once
from lamphouse.shards import Readable, Shards, StreamedSamples, options_of_samples


class TensorDataModule(LightningDataModule):
    """A data set in memory, of any types and shapes (abstract): a subclass defines `load`.

    Batches are inputs and targets. Their order follows from the seed and the epoch alone. A last training batch of one
    sample, on which batch normalization cannot train, is joined to the one before.

    Args:
        batch_size: samples in a batch of each process.
        val_fraction: part of the training samples that is held out for validation, of each class if there are classes.
        num_workers: processes that fetch batches; 0 is fastest for data in memory.
        seed: of the split, the order and the augmentations; None is 0 or, on the command line, `seed_everything`.
        on_device: keep the samples on the device that trains, so that no batch has to be copied; None does so on a GPU
            if they take less than a quarter of its free memory.
        num_folds: number of parts of a cross-validation, in the place of `val_fraction`.
        fold: the part that is held out for validation, counted from 0; every sample is in one part.
        shards: directory that the command `shards` wrote, from which batches are read in the place of memory.

    Raises:
        ValueError: both `on_device` and `num_workers` or `shards` are set.
        InputError: only one of `num_folds` and `fold` is set, there is no such fold, or shards are not of this data.
    """

    def __init__(
        self,
        batch_size: PositiveInt = 128,
        val_fraction: OpenUnitInterval = 0.1,
        num_workers: NonNegativeInt = 0,
        seed: NonNegativeInt | None = None,
        on_device: bool | None = None,
        num_folds: PositiveInt | None = None,
        fold: NonNegativeInt | None = None,
        shards: Path | str | None = None,
    ) -> None:
        super().__init__()
        check_fold(num_folds, fold)
        if on_device and num_workers:
            reason = "workers cannot fetch samples that are on the device: leave one of the two options out"
            raise ValueError(f"--data.on_device true with --data.num_workers {num_workers}: {reason}")
        if on_device and shards:
            raise ValueError(f"--data.on_device true with --data.shards {shards}: leave one of the two options out")
        self.save_hyperparameters(logger=False)
        self.batch_size, self.val_fraction, self.seed = batch_size, val_fraction, seed or 0
        self.num_workers, self.on_device = num_workers, on_device
        self.num_folds, self.fold = num_folds, fold
        self.parts: dict[str, Any] = {}  # Samples, or StreamedSamples of shards
        self.shared_parts: set[str] = set()  # between the processes of this machine
        self.shards = Path(shards) if shards else None
        if self.shards:
            self.prepare_data = self._check_shards  # type: ignore[method-assign]  # needs no other file
            if self.shards.exists():  # it need not in order to predict
                self.load_state_dict({**self.stream.state})

    @cached_property
    def stream(self) -> Shards:
        """The shards; raise an `InputError` if there are none, or not of this data."""
        folder = self.shards or Path()
        found = Shards.open(folder)
        found.check(folder, type(self).__name__, options_of_samples(self.hparams))
        return found

    def _check_shards(self) -> None:
        self.stream  # noqa: B018  # raises

    @abstractmethod
    def load(self, train: bool) -> Samples:
        """Read the official training or test samples into memory.

        Without official test samples, hold some out: `return samples.split(0.1, seed=0)[0 if train else 1]`; without a
        test, set `test_dataloader = LightningDataModule.test_dataloader`.
        """

    def setup(self, stage: str) -> None:
        """Load what the stage needs, once on each machine; raise an `InputError` if samples are bad or too few."""
        together = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1 and not self.shards
        if together and not self.shared_parts.issuperset({"test": ["test"]}.get(stage, ["train", "val"])):
            load_once(self, lambda: self.load_parts(stage))
        else:
            self.load_parts(stage)

    def load_parts(self, stage: str) -> None:
        """Load what a stage needs and there is not yet; other processes get the parts, and what else this sets."""
        if stage in {"fit", "validate"} and "train" not in self.parts:
            self.parts.update(self._streamed("train", "val") if self.shards else self.load_train_and_val())
        if stage == "test" and "test" not in self.parts and is_overridden("test_dataloader", self):
            self.parts.update(self._streamed("test") if self.shards else self.load_test())
        empty = [part for part, samples in self.parts.items() if not len(samples)]
        if empty:
            raise InputError(f"no samples are left for {' and '.join(empty)}: add some, at least three of a class")

    def load_train_and_val(self) -> dict[str, Samples]:
        """Load the official training samples, and hold some out for validation."""
        samples = self.load(train=True)
        self.check_samples(samples)
        return self.hold_out(samples)

    def hold_out(self, samples: Samples) -> dict[str, Samples]:
        """Hold out some of the training samples for validation."""
        if self.num_folds is not None and self.fold is not None:
            parts = samples.split_fold(self.num_folds, self.fold, self.seed)
        else:
            parts = samples.split(self.val_fraction, self.seed)
        return dict(zip(("train", "val"), parts, strict=True))

    def load_test(self) -> dict[str, Samples]:
        """Load the official test samples."""
        samples = self.load(train=False)
        self.check_samples(samples)
        return {"test": samples}

    def _streamed(self, *parts: str) -> Mapping[str, StreamedSamples]:
        found = {part: self.stream.parts[part] for part in parts}
        for samples in found.values():
            self.check_samples(samples)
        return found

    def parts_to_write(self) -> dict[str, Readable]:
        """Return the samples that the command `shards` writes; override it where they take too much memory."""
        self.setup("fit")
        self.setup("test")
        return {**self.parts}

    def examine(self, samples: Samples | StreamedSamples) -> None:
        """Find out what the training samples tell, such as statistics, before `state_dict` is called."""

    def check_samples(self, samples: Samples | StreamedSamples) -> None:
        """Check samples after loading; raise an `InputError` if values are not finite, or not what the data has."""
        for name, values in (("inputs", samples.inputs), ("targets", samples.targets)):
            if values.is_floating_point() and values.numel() and not torch.stack(values.aminmax()).isfinite().all():
                raise InputError(f"{name}: some values are nan or infinite: replace them, or leave their samples out")
        if (num_classes := getattr(self, "num_classes", 0)) > 1 and len(samples.targets):
            check_labels(samples.targets, num_classes)
        features = [part.inputs.shape[1] for part in (samples, *self.parts.values()) if is_table(part.inputs)]
        if len({*features}) > 1:
            raise InputError(f"inputs: {features[0]} features, but {features[1]} in another part: load the same ones")

    def read_samples(self, path: Path) -> Tensor:
        """Read a file of samples to predict, as `load` returns inputs, [N, ...]: an array (.npy, .pt) or rows (.csv).

        Override it where `load` changes the numbers that it reads.
        """
        return read_array(path, getattr(self, "input_shape", None))

    def describe(self) -> list[str]:
        """Return lines about the data to print at the beginning of a run."""
        if not self.shards:
            return []
        return [f"streamed from {short_path(self.shards)}, which were split with seed {self.stream.seed}"]

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader("test")

    def loader(self, part: str, alternates: Sequence[bool] | None = None) -> DataLoader[Any]:
        """Make the loader of a part; for `alternates` see `SampleBatches`."""
        cpu = torch.device("cpu")
        device = self.trainer.strategy.root_device if self.trainer else cpu
        held_on = device if self.is_resident(self.parts[part], device) else cpu
        samples = self.parts[part].to(held_on)
        shuffle = part == "train" and not getattr(self.trainer, "overfit_batches", 0)
        ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)
        order = samples.shuffled if isinstance(samples, StreamedSamples) else None
        sampler = BatchSampler(len(samples), self.batch_size, self.seed, shuffle, *ranks, held_on, order)
        if sampler.joins_last and sampler.rank == 0:
            note_joined(len(samples), sampler.together)
        return BatchLoader(
            SampleBatches(samples, alternates, self.seed),
            batch_size=None,  # the sampler's keys are whole batches
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=device.type == "cuda" and held_on == cpu,
            generator=torch.Generator().manual_seed(self.seed),  # without it, each epoch draws from the global one
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def is_resident(self, part: Samples | StreamedSamples, device: torch.device) -> bool:
        if isinstance(part, StreamedSamples):
            return False
        if self.on_device is None and device.type == "cuda" and not self.num_workers:
            return part.nbytes < torch.cuda.mem_get_info(device)[0] / 4
        return bool(self.on_device)


def check_fold(num_folds: int | None, fold: int | None) -> None:
    """Raise an `InputError` unless both are None, or there is such a fold."""
    if num_folds is None and fold is not None:
        raise InputError(f"--data.fold {fold}: of how many: give --data.num_folds, 2 or more")
    if num_folds is not None and num_folds < 2:
        raise InputError(f"--data.num_folds {num_folds}: nothing would be left to train on: give 2 or more")
    if num_folds is not None and (fold is None or fold >= num_folds):
        given = "" if fold is None else f" --data.fold {fold}"
        raise InputError(f"--data.num_folds {num_folds}{given}: give a --data.fold of 0..{num_folds - 1}")


def check_labels(targets: Tensor, num_classes: int) -> None:
    """Raise an `InputError` unless class labels, if that is what targets are, are indices of the classes."""
    inside = 0 <= targets.min() <= targets.max() < num_classes
    if targets.is_floating_point() and targets.ndim == 1 and inside and (targets == targets.long()).all():
        raise InputError(f"targets: {targets.dtype}, whole numbers only: targets.long() makes labels of them")
    if not is_labels(targets.flatten()) or targets.ndim > 2:
        return
    if targets.shape[1:] == (1,):
        raise InputError(f"targets: {list(targets.shape)}: expected {[len(targets)]}: targets.squeeze(1) converts them")
    if targets.ndim == 1 and targets.dtype not in {torch.int64, torch.uint8}:
        raise InputError(f"targets: {targets.dtype}: expected torch.int64 for labels: targets.long() converts them")
    if targets.ndim == 1 and not inside:
        expected = f"0..{num_classes - 1}, the indices of the classes"
        raise InputError(f"targets: {targets.min()}..{targets.max()}: expected {expected}: correct the labels")


@cache
def note_joined(size: int, batch_size: int) -> None:
    """Say once that the last batch is joined to the one before."""
    last = f"{size % batch_size} samples" if size % batch_size > 1 else "one sample"
    text = f"the last batch, of {last}, is joined to the one before, for batch normalization"
    print(f"note: {size:,} training samples in batches of {batch_size}: {text}", file=sys.stderr)
