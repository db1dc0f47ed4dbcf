"""CIFAR-10 from its files."""

from pathlib import Path

import pytest

from lamphouse.errors import InputError
from arc_light.data.cifar10 import CIFAR10DataModule


def test_files_become_images(tiny_data: Path) -> None:
    data = CIFAR10DataModule(data_dir=tiny_data)
    data.prepare_data()
    data.setup("fit")
    assert data.parts["train"].inputs.shape[1:] == (3, 32, 32)


def test_a_damaged_file_is_refused(tiny_data: Path) -> None:
    path = tiny_data / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=path.name):
        CIFAR10DataModule(data_dir=tiny_data).prepare_data()
