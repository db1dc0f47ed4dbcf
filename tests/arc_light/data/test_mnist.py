"""MNIST from its files."""

from pathlib import Path

import pytest

from lamphouse.errors import InputError
from arc_light.data.mnist import MNISTDataModule


def test_files_become_images(tiny_data: Path) -> None:
    data = MNISTDataModule(data_dir=tiny_data)
    data.prepare_data()
    data.setup("fit")
    assert data.parts["train"].inputs.shape[1:] == (1, 28, 28)


def test_a_damaged_file_is_refused(tiny_data: Path) -> None:
    path = tiny_data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=path.name):
        MNISTDataModule(data_dir=tiny_data).prepare_data()
