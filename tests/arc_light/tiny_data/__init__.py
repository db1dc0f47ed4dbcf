"""Makers of tiny data sets in the true file formats: one module a data set, with a function `make`."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def images_of(labels: Bytes, shape: tuple[int, ...], seed: int) -> Bytes:
    """Draw images, [N, *shape], whose brightness depends on their class, of ten."""
    noise = np.random.default_rng(seed).integers(0, 25, (len(labels), *shape))
    return (noise + 25 * labels.reshape(-1, *(1 for _ in shape))).astype(np.uint8)


def labels_of(size: int) -> Bytes:
    """Label images 0, 1, ..., 9, 0, 1, ..."""
    return np.arange(size).astype(np.uint8) % 10


def md5(path: Path) -> str:
    """Compute the checksum that torchvision compares."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
