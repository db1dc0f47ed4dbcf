"""MNIST's files: the real ones if the project has them, otherwise generated ones in the same format."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.options import Options
from benchmarks.processes import ROOT

HEADER_BYTES = 8  # of a file of labels
SIZES, QUICK_SIZES = {"train": 60_000, "t10k": 10_000}, {"train": 1_280, "t10k": 256}


@dataclass(frozen=True)
class Files:
    """MNIST's files and their origin.

    Args:
        folder: the folder that holds MNIST/raw/.
        name: their name in titles.
        options: options with which `fit` trains on them.
    """

    folder: Path
    name: str
    options: Sequence[object]

    def count(self, part: str) -> int:
        """Return the number of images of a part, train or t10k, from the size of its labels."""
        return (self.folder / "MNIST" / "raw" / f"{part}-labels-idx1-ubyte").stat().st_size - HEADER_BYTES


@contextmanager
def mnist_files(options: Options) -> Iterator[Files]:
    """Find the real files, or write temporary ones."""
    data = ROOT / "data"
    if not options.quick and len(list((data / "MNIST" / "raw").glob("*-ubyte"))) == 4:
        yield Files(data, "MNIST", ["--data.data_dir", data])
        return
    with TemporaryDirectory() as folder:
        for part, size in (QUICK_SIZES if options.quick else SIZES).items():
            write_part(Path(folder, "MNIST", "raw"), part, size)
        unchecked = ["--data", "benchmarks.unchecked_mnist.UncheckedMNIST", "--data.data_dir", folder]
        yield Files(Path(folder), "generated files in MNIST's format", unchecked)


def write_part(folder: Path, part: str, size: int) -> None:
    """Write images and labels in the IDX format: one picture per class, with noise."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    pictures = random.integers(0, 128, (10, 28, 28), dtype=np.uint8)
    labels = random.integers(0, 10, size, dtype=np.uint8)
    images = pictures[labels] + random.integers(0, 128, (size, 28, 28), dtype=np.uint8)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)  # 8: bytes
        (folder / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
