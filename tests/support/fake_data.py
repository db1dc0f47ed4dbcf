"""Tiny data sets in the true file formats, with checksums to match."""

import hashlib
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10

from arc_light.data.mnist import MNISTDataModule

Bytes = NDArray[np.uint8]


def images_of(labels: Bytes, shape: tuple[int, ...], seed: int) -> Bytes:
    """Draw images, [N, *shape], that differ from each other and whose brightness tells their class of ten."""
    noise = np.random.default_rng(seed).integers(0, 25, (len(labels), *shape))
    return (noise + 25 * labels.reshape(-1, *(1 for _ in shape))).astype(np.uint8)


def labels_of(size: int) -> Bytes:
    """Label images 0, 1, ..., 9, 0, 1, ..."""
    return np.arange(size).astype(np.uint8) % 10


def md5(path: Path) -> str:
    """Sum up a file as torchvision does."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_idx(path: Path, array: Bytes) -> None:
    """Write the IDX format: two zero bytes, the type (8 is uint8), the rank, big-endian sizes, the bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


def write_mnist(data_dir: Path, train: int = 100, test: int = 20) -> dict[str, str]:
    """Write the four files of MNIST and return their MD5 sums."""
    raw = data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, size, seed in (("train", train, 1), ("t10k", test, 2)):
        labels = labels_of(size)
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images_of(labels, (28, 28), seed))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", labels)
    return {path.name: md5(path) for path in raw.iterdir()}


def write_cifar10(data_dir: Path, train: int = 100, test: int = 20) -> dict[str, str]:
    """Write the seven pickles of CIFAR-10 and return their MD5 sums."""
    folder = data_dir / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    sizes = {**{f"data_batch_{i}": train // 5 for i in range(1, 6)}, "test_batch": test}
    for seed, (name, size) in enumerate(sizes.items()):
        labels = labels_of(size)
        batch = {"data": images_of(labels, (3072,), seed), "labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch))
    meta = {"label_names": [f"class {i}" for i in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta))
    return {path.name: md5(path) for path in folder.iterdir()}


def expect_mnist(monkeypatch: pytest.MonkeyPatch, sums: dict[str, str]) -> None:
    """Have the data module expect these files."""
    monkeypatch.setattr(MNISTDataModule, "md5", sums)


def expect_cifar10(monkeypatch: pytest.MonkeyPatch, sums: dict[str, str]) -> None:
    """Have torchvision expect these files."""
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})


def write_image(path: Path, size: tuple[int, int] = (12, 10), colour: Sequence[int] = (200, 100, 0)) -> Path:
    """Write an image file of one colour, `size` being width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, tuple(colour)).save(path)
    return path


def write_folder(root: Path, classes: Sequence[str] = ("cat", "dog"), per_class: int = 10, suffix: str = "png") -> Path:
    """Write `root/<class>/<number>.<suffix>`, every image of a colour of its own."""
    for red, name in enumerate(classes):
        for green in range(per_class):
            write_image(root / name / f"{green}.{suffix}", colour=(60 * red, 5 * green, 128))
    return root
