"""Files of which predictions are made, read in parallel, and those of numbers: arrays, tensors and rows."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lamphouse.errors import InputError

READ_AHEAD = 16  # files for each thread, whose samples wait in memory


def read_array(path: Path, shape: Sequence[int] | None = None) -> Tensor:
    """Read an array or rows of numbers, floating-point ones as float32, [N, ...]; a single sample if it has its shape.

    Args:
        path: an .npy file; a .pt file of a tensor; a .csv file with commas, UTF-8, and names in its first line or none.
        shape: of a sample, into which rows are brought; None if it is not known.

    Raises:
        InputError: the file is damaged, has no numbers, or numbers of another shape.
    """
    expected = "an array (.npy), a tensor (.pt) or rows (.csv)"
    if not path.is_file():  # but a pipe, say, which could make the reader wait forever
        raise InputError(f"{path}: no such file: expected {expected}")
    try:
        inputs = READERS.get(path.suffix.lower(), read_npy)(path)
        inputs = inputs.float() if inputs.is_floating_point() else inputs
    except Exception as error:  # a damaged file makes NumPy and torch raise almost anything
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise InputError(f"{path}: no readable numbers ({reason}): expected {expected}") from error
    if shape is not None and list(inputs.shape) == list(shape):
        inputs = inputs.unsqueeze(0)
    if shape is not None and inputs.ndim == 2 and inputs.shape[1] == prod(shape):
        inputs = inputs.reshape(-1, *shape)
    if not inputs.numel() or (shape is not None and list(inputs.shape[1:]) != list(shape)):
        expected = f"{[len(inputs), *shape]} or {[len(inputs), prod(shape)]}" if shape else "one sample or more"
        raise InputError(f"{path}: numbers of shape {list(inputs.shape)}: expected {expected}, as in training")
    if inputs.is_floating_point() and not inputs.isfinite().all():
        raise InputError(f"{path}: some values are nan or infinite: replace them, or leave their rows out")
    return inputs


def read_npy(path: Path) -> Tensor:
    """Read an array that `numpy.save` wrote."""
    values = np.load(path, allow_pickle=False)
    return torch.from_numpy(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))


def read_pt(path: Path) -> Tensor:
    """Read a tensor that `torch.save` wrote, which runs no code and takes no more memory than the file."""
    tensor = torch.load(path, "cpu", weights_only=True, mmap=True)
    if not isinstance(tensor, Tensor) or tensor.nbytes > path.stat().st_size:
        raise ValueError("not a tensor by itself")
    return tensor.detach().clone()


def read_csv(path: Path) -> Tensor:
    """Read rows of numbers, float32 [N, columns]."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    try:
        [float(cell) for cell in lines[0].split(",")]
    except ValueError:
        del lines[0]  # the names of the columns
    if not any(lines):
        raise ValueError("no row")
    return torch.from_numpy(np.loadtxt(lines, np.float32, delimiter=",", ndmin=2))


def read_each(read: Callable[[Path], Tensor], paths: Sequence[Path]) -> Iterator[Tensor | InputError]:
    """Read files in several threads, and yield the samples of each, or what is wrong with it, in their order."""

    def read_one(path: Path) -> Tensor | InputError:
        try:
            return read(path)
        except InputError as error:
            return InputError(str(error))  # without what it refers to, for there may be many

    arrays = any(path.suffix.lower() in READERS for path in paths)  # which may be large, and are read one by one
    count = 1 if arrays else min(os.cpu_count() or 1, 32)
    ahead = 1 if arrays else READ_AHEAD * count
    with ThreadPoolExecutor(count) as threads:
        waiting = deque(threads.submit(read_one, path) for path in paths[:ahead])
        for path in paths[ahead:]:
            yield waiting.popleft().result()
            waiting.append(threads.submit(read_one, path))
        while waiting:
            yield waiting.popleft().result()


READERS = {".npy": read_npy, ".pt": read_pt, ".csv": read_csv}
