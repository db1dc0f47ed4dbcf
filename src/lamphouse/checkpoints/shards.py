"""Directories of shards, which torch.distributed.checkpoint has written, read as one checkpoint."""

import pickle
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch

from lamphouse.errors import InputError

REST, INDEX, INDEX_SUM = "meta.pt", ".metadata", "index.crc32"  # what is no tensor; where each tensor lies
PLAIN = {  # what an index consists of, besides data types
    "torch": {"Size"},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.distributed.checkpoint.metadata": {
        *("BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta"),
        *("TensorProperties", "TensorStorageMetadata", "_MEM_FORMAT_ENCODING"),
    },
    "pathlib": {"PosixPath", "WindowsPath"},
    "pathlib._local": {"PosixPath", "WindowsPath"},
}


def read_whole(file: BinaryIO, map_location: Any = "cpu") -> Any:
    """Read what torch has saved, without running code; an `InputError` names the first record that is damaged."""
    if damaged := damaged_record(file):
        raise InputError(damaged)
    file.seek(0)
    return torch.load(file, map_location, weights_only=True)


def damaged_record(file: BinaryIO) -> str | None:
    """Name the first record whose bytes are not those that were written, which torch does not check."""
    with zipfile.ZipFile(file) as archive:
        records, size = archive.infolist(), file.seek(0, 2)
        if any(record.compress_type for record in records) or sum(record.file_size for record in records) > size:
            raise zipfile.BadZipFile  # torch writes no compressed or nested records, which could fill the memory
        return archive.testzip()


def read_shards(path: Path, weights: bool = True) -> dict[str, Any]:
    """Read a directory of shards as the checkpoint that a single process would have written."""
    with (path / REST).open("rb") as file:
        rest = read_whole(file)
    index, tree = _read_index(path), dict[str, Any]()
    for name, value in _values(path, index, weights):
        node, (*above, last) = tree, index.planner_data[name]
        for key in above:
            node = node.setdefault(key, {})
        node[last] = value
    optimizers = [_numbered(tree[f"optimizer_{n}"]) for n in range(len(tree) - 1)]
    if rest.get("global_step") == 0:  # zeros, which torch writes where there is no state yet
        optimizers = [{**state, "state": {}} for state in optimizers]
    return {**rest, "state_dict": tree["state_dict"], "optimizer_states": optimizers}


def sum_of_index(path: Path) -> str:
    """Return the CRC-32 of an index, the only file without checksums of its own."""
    return f"{zlib.crc32((path / INDEX).read_bytes()):08x}"


class _IndexReader(pickle.Unpickler):  # noqa: S301  # which finds nothing but plain classes
    """Reads an index without running code."""

    def find_class(self, module: str, name: str) -> Any:
        if name in PLAIN.get(module, ()) or (module == "torch" and isinstance(vars(torch).get(name), torch.dtype)):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def _read_index(path: Path) -> Any:
    written = path / INDEX_SUM
    if written.exists() and written.read_text(encoding="ascii") != sum_of_index(path):
        raise InputError(INDEX)
    with (path / INDEX).open("rb") as file:
        return _IndexReader(file).load()


def _values(path: Path, index: Any, weights: bool) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each entry of the index, tensors put together from their shards."""
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata  # noqa: PLC0415  # slow to import

    entries = {key: of for key, of in index.state_dict_metadata.items() if isinstance(of, TensorStorageMetadata)}
    missing = {key: entry.size.numel() for key, entry in entries.items()}  # elements of each tensor
    zeros = {key: torch.zeros((), dtype=entry.properties.dtype).expand(entry.size) for key, entry in entries.items()}
    tensors = {key: zero.clone() if weights else zero for key, zero in zeros.items()}
    for key, stored in index.storage_data.items():
        with (path / Path(stored.relative_path).name).open("rb") as file:
            file.seek(stored.offset)
            value = read_whole(BytesIO(file.read(stored.length)))
        if key.fqn not in tensors:
            yield key.fqn, value
            continue
        place = tuple(slice(first, first + size) for first, size in zip(key.offset, value.shape, strict=True))
        if weights:
            tensors[key.fqn][place] = value
        missing[key.fqn] -= value.numel()
    if lacking := [key for key, elements in missing.items() if elements]:
        raise InputError(lacking[0])
    yield from tensors.items()


def _numbered(state: dict[str, Any]) -> dict[str, Any]:
    """Number the parameters of an optimizer's state in the order of its groups, as torch's optimizers do."""
    groups = [group for _, group in sorted(state["param_groups"].items())]  # shards list them in any order
    numbers = {name: number for number, name in enumerate(name for group in groups for name in group["params"])}
    return {
        "state": {numbers[name]: values for name, values in state.get("state", {}).items()},
        "param_groups": [{**group, "params": [numbers[name] for name in group["params"]]} for group in groups],
    }
