"""A tiny MNIST."""

import struct
from pathlib import Path

import pytest

from tiny_data import Bytes, images_of, labels_of, md5


def make(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files, and let the data module expect their checksums."""
    expect_mnist(monkeypatch, write_mnist(data_dir))


def write_idx(path: Path, array: Bytes) -> None:
    """Write the IDX format: two zero bytes, the type (8 is uint8), the rank, big-endian sizes, the bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


def write_mnist(data_dir: Path, train: int = 100, test: int = 20) -> dict[str, str]:
    """Write the four files and return their checksums."""
    raw = data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, size, seed in (("train", train, 1), ("t10k", test, 2)):
        labels = labels_of(size)
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images_of(labels, (28, 28), seed))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", labels)
    return {path.name: md5(path) for path in raw.iterdir()}


def expect_mnist(monkeypatch: pytest.MonkeyPatch, sums: dict[str, str]) -> None:
    """Let the data module expect these checksums."""
    monkeypatch.setattr("arc_light.data.mnist.MNISTDataModule.md5", sums)
