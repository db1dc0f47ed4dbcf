"""Samples in memory, and how they are split."""

from dataclasses import dataclass

import torch
from numpy.random import SeedSequence
from torch import Tensor

from lamphouse.errors import InputError

Batch = tuple[Tensor, Tensor]  # inputs, [B, ...]; targets, [B, ...]
ORDER, AUGMENT, ALTERNATE, SPLIT = range(4)  # purposes of random numbers; no two share theirs


def generator(purpose: int, seed: int, epoch: int = 0) -> torch.Generator:
    """Seed a generator for one purpose in one epoch."""
    key = SeedSequence((seed, epoch, purpose))  # always three numbers: shorter keys are padded with zeros
    return torch.Generator().manual_seed(int(key.generate_state(1, "uint64")[0]) >> 1)


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs and targets of a data set, or of a part of one: parts share the tensors. Index them to get both.

    Args:
        inputs: any type and shape, [M, ...].
        targets: one for each input, any type and shape, [M, ...].
        rows: which of them belong to this part, int64 [N]; None for all.

    Raises:
        InputError: inputs or targets are no tensors of samples, or differ in number.
    """

    inputs: Tensor
    targets: Tensor
    rows: Tensor | None = None

    def __post_init__(self) -> None:
        for name, values in (("inputs", self.inputs), ("targets", self.targets)):
            if not isinstance(values, Tensor):
                raise InputError(f"{name}: {type(values).__name__}: expected a tensor: torch.as_tensor converts arrays")
            if not values.ndim:
                raise InputError(f"{name}: a single number: expected one for each sample, or more")
        if len(self.inputs) != len(self.targets):
            raise InputError(f"targets: {len(self.targets)} for {len(self.inputs)} inputs: give each input one target")

    def __len__(self) -> int:
        return len(self.inputs if self.rows is None else self.rows)

    def __getitem__(self, indices: Tensor | slice) -> Batch:
        rows = indices if self.rows is None else _taken(self.rows, indices)
        return _taken(self.inputs, rows), _taken(self.targets, rows)

    @property
    def nbytes(self) -> int:
        return len(self) * sum(tensor[:1].nbytes for tensor in (self.inputs, self.targets))

    def split(self, fraction: float, seed: int) -> tuple["Samples", "Samples"]:
        """Hold out a random fraction, of each class if the targets are labels with two samples a class on average."""
        rows, groups = self._groups()
        larger, smaller = stratified_split(groups, fraction, seed)
        return Samples(self.inputs, self.targets, rows[larger]), Samples(self.inputs, self.targets, rows[smaller])

    def split_fold(self, num_folds: int, fold: int, seed: int) -> tuple["Samples", "Samples"]:
        """Hold out one of the folds of a cross-validation: each sample is in one of them, stratified as in `split`.

        Raises:
            InputError: a class has fewer samples than there are folds.
        """
        rows, groups = self._groups()
        most = int(groups.unique(return_counts=True)[1].min()) if len(groups) else 0
        if num_folds > most:
            owner = "a class has" if len(groups.unique()) > 1 else "there are"
            way_out = f"give {most} folds or fewer" if most > 1 else "add samples, or leave num_folds out"
            raise InputError(f"--data.num_folds {num_folds}: {owner} only {most} training samples: {way_out}")
        held_out = stratified_folds(groups, num_folds, seed) == fold
        larger, smaller = (Samples(self.inputs, self.targets, rows[mask]) for mask in (~held_out, held_out))
        return larger, smaller

    def _groups(self) -> tuple[Tensor, Tensor]:
        """Return the rows, and the groups that each part has its share of: classes, or all samples as one."""
        rows = torch.arange(len(self)) if self.rows is None else self.rows
        targets = self.targets[rows]
        stratify = is_labels(targets) and 2 * len(targets.unique()) <= len(targets)
        return rows, targets if stratify else torch.zeros(len(rows))

    def to(self, device: torch.device) -> "Samples":
        """Copy the part's own samples, unless they are there already."""
        return self if self.inputs.device == device else Samples(*(moved(tensor, device) for tensor in self[:]))


def _taken(values: Tensor, rows: Tensor | slice) -> Tensor:
    if isinstance(rows, Tensor) and (rows.ndim, rows.dtype, rows.device) == (1, torch.int64, values.device):
        return values.index_select(0, rows)  # many times as fast on a CPU
    return values[rows]


def moved(held: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; windows that overlap in memory overlap there, too."""
    size = held.untyped_storage().nbytes() // held.element_size()
    if held.numel() <= size:
        return held.to(device)
    return held.as_strided((size,), (1,), 0).to(device).as_strided(held.size(), held.stride(), held.storage_offset())


def is_labels(targets: Tensor) -> bool:
    """Return whether targets are class labels: one integer for each sample."""
    return targets.ndim == 1 and not targets.is_floating_point() and not targets.is_complex()


def is_table(inputs: Tensor) -> bool:
    """Return whether inputs are rows of features."""
    return inputs.ndim == 2 and inputs.is_floating_point()


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return ascending indices of all but a fraction of each class, and of that: at least one sample, never all."""
    by_class, counts = shuffled_by_class(labels, seed)
    position = torch.arange(len(labels)) - (counts.cumsum(0) - counts).repeat_interleave(counts)  # within its class
    held_out = (counts.double() * fraction).round().long().clamp(min=1).minimum(counts - 1)
    smaller = torch.zeros(len(labels), dtype=torch.bool)
    smaller[by_class[position < held_out.repeat_interleave(counts)]] = True
    return (~smaller).nonzero().flatten(), smaller.nonzero().flatten()


def stratified_folds(labels: Tensor, num_folds: int, seed: int) -> Tensor:
    """Return the fold of each sample: folds differ by one sample at most, in all and of each class."""
    by_class, _ = shuffled_by_class(labels, seed)
    folds = torch.empty_like(by_class)
    folds[by_class] = torch.arange(len(labels)) % num_folds
    return folds


def shuffled_by_class(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return indices class by class, in random order within a class, and the number of samples of each class."""
    _, classes, counts = labels.unique(return_inverse=True, return_counts=True)
    shuffled = torch.randperm(len(labels), generator=generator(SPLIT, seed))
    return shuffled[classes[shuffled].argsort(stable=True)], counts
