"""MNIST from its files."""

from pathlib import Path

import pytest

from lamphouse.errors import InputError
from arc_light.data.mnist import MNISTDataModule


def test_files_become_batches(tiny_data: Path) -> None:
    data = MNISTDataModule(data_dir=tiny_data, batch_size=32)
    data.prepare_data()
    data.setup("fit")
    images, labels, *_ = next(iter(data.train_dataloader()))
    assert images.shape == (32, 1, 28, 28)
    assert set(labels.tolist()) <= set(range(10))


def test_a_damaged_file_is_refused(tiny_data: Path) -> None:
    path = tiny_data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=path.name):
        MNISTDataModule(data_dir=tiny_data).prepare_data()
