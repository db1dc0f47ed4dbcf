"""Samples larger than memory, in chunks of LitData; in which order they are read is decided here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import torch
from torch import Tensor
from tqdm import tqdm

from lamphouse.errors import InputError, short_path
from lamphouse.files import write_whole

INDEX = "shards.json"
WAY_OUT = "write others with the command shards"
WIDTHS = (torch.uint8, torch.int16, torch.int32)  # for 64-bit integers that are small enough
TARGETS = 10_000  # of each part of the data, by which it is told from others


class Readable(Protocol):
    """Samples in memory, or others that are read when they are indexed, whose `inputs` are empty."""

    @property
    def inputs(self) -> Tensor: ...
    @property
    def targets(self) -> Tensor: ...
    @property
    def rows(self) -> Tensor | None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, indices: Any) -> tuple[Tensor, Tensor]: ...


class Field(NamedTuple):
    """How inputs or targets are stored: the shape of one, and the names of the types in memory and on disk."""

    shape: Sequence[int]
    dtype: str
    stored: str

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * int(getattr(torch, self.stored).itemsize)

    def empty(self) -> Tensor:
        return torch.empty(0, *self.shape, dtype=getattr(torch, self.dtype))

    def encode(self, values: Tensor) -> Tensor:
        """Return the bytes of samples, uint8 [B, nbytes]."""
        stored = values.to(getattr(torch, self.stored)).reshape(len(values), -1).contiguous()
        return stored.view(torch.uint8).view(len(values), -1)

    def decode(self, rows: Tensor) -> Tensor:
        """Return samples from their bytes."""
        stored = rows.clone(memory_format=torch.contiguous_format).view(-1).view(getattr(torch, self.stored))
        return stored.view(len(rows), *self.shape).to(getattr(torch, self.dtype))


def field_of(values: Tensor) -> Field:
    """Choose how inputs or targets, [M, ...], are stored."""
    stored = values.dtype
    if stored == torch.int64 and values.numel():
        least, most = values.aminmax()
        holding = (width for width in WIDTHS if torch.iinfo(width).min <= least <= most <= torch.iinfo(width).max)
        stored = next(holding, stored)
    return Field([*values.shape[1:]], *(str(dtype).removeprefix("torch.") for dtype in (values.dtype, stored)))


class StreamedSamples:
    """Samples of a part, read from LitData's chunks when they are indexed, and not kept.

    Args:
        folder: of the part's chunks.
        size: number of samples.
        fields: of inputs and targets, whose bytes follow each other in a row.
        chunk: samples in a chunk.
        mixed: chunks whose samples are mixed in training.
        crc: checksum of the first targets.
    """

    rows = None  # every sample there is belongs to the part

    def __init__(self, folder: Path, size: int, fields: Sequence[Field], chunk: int, mixed: int, crc: int) -> None:
        self.folder, self.size, self.fields = folder, size, fields
        self.chunk, self.mixed, self.crc = chunk, mixed, crc
        self.inputs, self.targets = (field.empty() for field in fields)  # for their types and shapes

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, indices: Tensor | slice) -> tuple[Tensor, Tensor]:
        if isinstance(indices, slice):
            indices = torch.arange(*indices.indices(self.size))
        cut, ascending = self.fields[0].nbytes, indices.sort()
        rows = torch.empty(len(indices), cut + self.fields[1].nbytes, dtype=torch.uint8)
        for index, place in zip(ascending.values.tolist(), ascending.indices.tolist(), strict=True):
            rows[place] = torch.from_numpy(self._cache[self._at(index, index // self.chunk)])
        return self.fields[0].decode(rows[:, :cut]), self.fields[1].decode(rows[:, cut:])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}  # no open file

    def to(self, device: torch.device) -> "StreamedSamples":  # batches are copied there, one by one
        return self

    @property
    def mixes_all(self) -> bool:
        """Whether the order is that of samples in memory."""
        return self.size <= self.chunk * self.mixed

    def shuffled(self, random: torch.Generator) -> Tensor:
        """Return the order of an epoch, int64 [size]: chunks are shuffled, and the samples of `mixed` ones at a time.

        If there are no more chunks than that, the order is that of samples in memory.
        """
        if self.mixes_all:
            return torch.randperm(self.size, generator=random)
        starts = torch.randperm(-(-self.size // self.chunk), generator=random) * self.chunk
        whole = [torch.arange(start, min(start + self.chunk, self.size)) for start in starts.tolist()]
        together = [torch.cat(whole[first : first + self.mixed]) for first in range(0, len(whole), self.mixed)]
        return torch.cat([samples[torch.randperm(len(samples), generator=random)] for samples in together])

    @cached_property
    def _cache(self) -> Any:
        return lit_cache(self.folder, sum(field.nbytes for field in self.fields))

    @cached_property
    def _at(self) -> Any:
        from litdata.streaming.sampler import ChunkedIndex  # noqa: PLC0415  # optional

        return ChunkedIndex


def lit_cache(folder: Path, row: int, chunk: int = 1) -> Any:
    """Open a folder as LitData's cache of rows of bytes, of which `chunk` are written into a chunk."""
    require_litdata()
    from litdata.streaming import Cache, TokensLoader  # noqa: PLC0415  # optional, and slow to import

    return Cache(str(folder.absolute()), chunk_size=chunk * row, item_loader=TokensLoader(row))


def require_litdata() -> None:
    """Raise an `InputError` unless LitData is installed."""
    if find_spec("litdata") is None:
        raise InputError("shards need LitData: install it with `make extra EXTRA=streaming`")


def checksum(samples: Readable) -> int:
    """Return a checksum of the first targets of a part."""
    if isinstance(samples, StreamedSamples):
        return samples.crc
    targets = samples.targets[slice(TARGETS) if samples.rows is None else samples.rows[:TARGETS]]
    return crc32(targets.cpu().contiguous().view(dtype=torch.uint8).numpy().tobytes())


def write_part(folder: Path, samples: Readable, chunk_bytes: int, mixed: int) -> StreamedSamples:
    """Write the samples of a part into a new folder, and return them as they are read."""
    fields = (field_of(samples.inputs), field_of(samples.targets))
    row = sum(field.nbytes for field in fields)
    chunk = max(1, chunk_bytes // row)
    folder.mkdir(parents=True)
    cache = lit_cache(folder, row, chunk)
    for number, first in enumerate(tqdm(range(0, len(samples), chunk), folder.name, unit="chunk", disable=None)):
        batch = samples[first : first + chunk]
        encoded = [field.encode(values) for field, values in zip(fields, batch, strict=True)]
        cache[number] = torch.cat(encoded, 1).flatten().numpy()
    cache.done()
    cache.merge()
    return StreamedSamples(folder, len(samples), fields, chunk, mixed, checksum(samples))


@dataclass(frozen=True)
class Shards:
    """What the command `shards` wrote: parts of a data set, and what that was.

    Args:
        data: name of its class.
        options: its options that decide about samples.
        seed: of the split.
        state: its state, such as classes and statistics that were found.
        parts: the samples of each part.
    """

    data: str
    options: Mapping[str, Any]
    seed: int
    state: Mapping[str, Any]
    parts: Mapping[str, StreamedSamples]

    def write_index(self, folder: Path) -> None:
        """Write what is not in LitData's own files."""
        names = ("size", "fields", "chunk", "mixed", "crc")
        parts = {part: {name: getattr(samples, name) for name in names} for part, samples in self.parts.items()}
        write_whole(folder / INDEX, json.dumps({**vars(self), "parts": parts}, indent=2) + "\n")

    @classmethod
    def open(cls, folder: Path) -> "Shards":
        """Open a folder.

        Raises:
            InputError: LitData is not installed, there are no shards, or a file is missing or damaged.
        """
        require_litdata()
        if not folder.is_dir():
            raise InputError(f"--data.shards {folder}: no such directory: {WAY_OUT}")
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            for part, values in index["parts"].items():
                check_chunks(folder / part)
                fields = [Field(*field) for field in values.pop("fields")]
                index["parts"][part] = StreamedSamples(folder / part, fields=fields, **values)
            return cls(**index)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"--data.shards {folder}: not readable as shards ({error}): {WAY_OUT}") from error

    def check(self, folder: Path, data: str, options: Mapping[str, Any]) -> None:
        """Raise an `InputError` if options contradict those of which the samples were written."""
        given = {"class_path": data, **options}
        for name, was in {"class_path": self.data, **self.options}.items():
            if name in given and given[name] != was:
                option = "--data" if name == "class_path" else f"--data.{name}"
                reason = f"the shards in {short_path(folder)} were written with {was}"
                raise InputError(f"{option} {given[name]}: {reason}: give that, or {WAY_OUT}")


def check_chunks(folder: Path) -> None:
    """Raise an error if a file of LitData's is missing, or has not the size that it was written with."""
    for chunk in json.loads((folder / "index.json").read_text(encoding="utf-8"))["chunks"]:
        path = folder / chunk["filename"]
        if path.stat().st_size != chunk["chunk_bytes"]:
            raise ValueError(f"{path}: {path.stat().st_size:,} bytes instead of {chunk['chunk_bytes']:,}")


SAME_SAMPLES = {"batch_size", "num_workers", "seed", "on_device", "augment", "mean", "std", "resize", "crop", "shards"}


def options_of_samples(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a data module that decide which samples it has, as JSON holds them."""
    names = [name for name in hparams if name not in SAME_SAMPLES and not (name[0] == "_" or name.endswith("_dir"))]
    return {name: json.loads(json.dumps(hparams[name], default=str)) for name in names}
