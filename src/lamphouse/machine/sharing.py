"""Tensors in memory that the processes of a machine share: the first one loads them, and the others map its pages."""

import os
import pickle
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from lamphouse.errors import InputError

MOST_BYTES = 2**25  # of the attributes that are sent to other processes
NOT_OF_LOADING = {"trainer", "parts", "shared_parts"}  # attributes that loading does not set


class View(NamedTuple):
    """Where a tensor is: in a file in memory without a name, which a process has open and its death frees."""

    path: str
    nbytes: int  # of the file
    dtype: torch.dtype
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


Files = dict[str, Tensor]  # by path, the bytes of files that are mapped
Part = tuple[type, list[View | None]]  # a dataclass of tensors
Offer = tuple[dict[str, Any], dict[str, Part]]  # what loading has set besides; and the parts


def load_once(data: Any, load: Callable[[], None]) -> None:
    """Load `data.parts` in the first process of each machine, and share them with its other processes.

    Every process calls it. Where memory cannot be shared, each loads its own: on other systems than Linux, and if
    loading sets attributes of `data` that cannot be pickled, or large ones.

    Raises:
        InputError: loading fails in another process.
    """
    machines, rank = gather(machine_id()), dist.get_rank()
    first, is_shared = machines.index(machines[rank]), machines.count(machines[rank]) > 1
    failed, files, offer = None, list[int](), None
    if rank == first:
        try:
            load()
            offer = offered(data, files) if is_shared else None
        except Exception as error:
            failed = error
    found = gather((str(failed) if failed else None, offer))
    if failed is not None:
        raise failed
    if errors := [text for text, _ in found if text]:
        raise InputError(errors[0])
    if rank != first or offer:
        accept(data, found[first][1], load)
    data.shared_parts.update(data.parts)
    gather(None)  # all have mapped the files
    for file in files:
        os.close(file)


def machine_id() -> Any:
    """Identify this machine, and its process numbers; on other systems than Linux, this process."""
    try:
        kernel, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
        return kernel.read_text(encoding="utf-8"), str(processes.readlink()), os.getuid()
    except (AttributeError, OSError):
        return dist.get_rank()


def gather(value: Any) -> list[Any]:
    """Collect the value of each process in all of them, ordered by rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def offered(data: Any, files: list[int]) -> Offer | None:
    """Write samples that are not shared yet into files in memory; None if other processes have to load them."""
    parts = {part: samples for part, samples in data.parts.items() if part not in data.shared_parts}
    if not all(is_dataclass(samples) and all(map(can_be_mapped, values_of(samples))) for samples in parts.values()):
        return None
    attributes = {name: value for name, value in vars(data).items() if is_of_loading(name)}
    try:
        if len(pickle.dumps(attributes)) > MOST_BYTES:
            return None
    except Exception:  # an object may raise anything
        return None
    written: dict[int, tuple[str, int]] = {}
    return attributes, {
        part: (type(samples), [view(value, written, files) for value in values_of(samples)])
        for part, samples in parts.items()
    }


def values_of(samples: Any) -> list[Any]:
    """Return the values of a dataclass."""
    return [getattr(samples, field.name) for field in fields(samples)]


def can_be_mapped(value: Any) -> bool:
    """Return whether a value is a tensor in memory, or none."""
    return value is None or (isinstance(value, Tensor) and value.device.type == "cpu")


def is_of_loading(name: str) -> bool:
    """Return whether loading may have set an attribute."""
    return name not in NOT_OF_LOADING and not name.startswith(("_hparams", "_log_hyper"))


def view(tensor: Tensor | None, written: dict[int, tuple[str, int]], files: list[int]) -> View | None:
    """Write the memory that a tensor is in, unless that is done, into a file."""
    if tensor is None:
        return None
    storage = tensor.untyped_storage()
    if storage.data_ptr() not in written:
        files.append(os.memfd_create("samples"))
        path, nbytes = f"/proc/{os.getpid()}/fd/{files[-1]}", max(storage.nbytes(), 1)
        os.ftruncate(files[-1], nbytes)
        copied = torch.from_file(path, shared=True, size=nbytes, dtype=torch.uint8)
        copied[: storage.nbytes()] = torch.empty(0, dtype=torch.uint8).set_(storage)
        written[storage.data_ptr()] = path, nbytes
    where = written[storage.data_ptr()]
    return View(*where, tensor.dtype, tuple(tensor.size()), tensor.stride(), int(tensor.storage_offset()))


def accept(data: Any, offer: Offer | None, load: Callable[[], None]) -> None:
    """Take what the first process of the machine offers, or load."""
    if offer is None:
        load()
        return
    attributes, views = offer
    mapped: Files = {}
    try:
        parts = {part: kind(*(mapping(one, mapped) for one in tensors)) for part, (kind, tensors) in views.items()}
    except (OSError, RuntimeError):  # that process's files cannot be opened
        load()
        return
    vars(data).update(attributes)
    data.parts.update(parts)


def mapping(one: View | None, mapped: Files) -> Any:
    """Map a tensor; pages that a process writes to become its own."""
    if one is None:
        return None
    if one.path not in mapped:
        mapped[one.path] = torch.from_file(one.path, shared=False, size=one.nbytes, dtype=torch.uint8)
    storage = mapped[one.path].untyped_storage()
    return torch.empty(0, dtype=one.dtype).set_(storage, one.offset, one.size, one.stride)
