"""Oxford-IIIT Pet from its archives."""

from pathlib import Path

import pytest

from lamphouse.errors import InputError
from arc_light.data.pets import OxfordPetsDataModule


def test_archives_become_images_and_labels(tiny_data: Path) -> None:
    data = OxfordPetsDataModule(data_dir=tiny_data, image_size=32)
    data.prepare_data()
    for part in ("fit", "test"):
        data.setup(part)
    images, labels = data.parts["test"][:]
    assert (images.shape, labels.shape) == ((10, 3, 32, 32), (10, 32, 32))
    assert labels.unique().tolist() == [0, 1, 2]
    assert (images.argmax(1) == labels).float().mean() > 0.8  # the labels of a pixel are its own colour


def test_a_damaged_archive_is_refused(tiny_data: Path) -> None:
    path = tiny_data / "oxford-iiit-pet" / "images.tar.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=path.name):
        OxfordPetsDataModule(data_dir=tiny_data).prepare_data()
