"""The embedded digits as files."""

from pathlib import Path

import pytest
import torch

from lamphouse.data import ImageFolderDataModule
from arc_light.data.digits import DigitsDataModule
from arc_light.data.digits_folder import write_digits


@pytest.mark.slow
def test_the_files_hold_the_embedded_digits() -> None:
    write_digits("digits")
    read = ImageFolderDataModule("digits", image_size=8, channels=1, cache_dir=None)
    assert tuple(read.classes) == DigitsDataModule.classes
    for part in ("train", "test"):
        files, embedded = read.load(part == "train"), DigitsDataModule().load(part == "train")
        order = torch.tensor([int(path.stem) for path in sorted(Path("digits", part).glob("*/*.png"))])
        assert len(order) == len(files) == len(embedded)
        for written, held in zip(files[torch.arange(len(files))], embedded[order], strict=True):
            assert torch.equal(written, held)
