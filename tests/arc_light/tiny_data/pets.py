"""A tiny Oxford-IIIT Pet."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiny_data import md5

NAMES = [f"{kind}_{number}" for kind in ("Abyssinian", "beagle") for number in range(5)]


def make(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the archives, and let the data module expect their checksums."""
    expect_pets(monkeypatch, write_pets(data_dir))


def write_pets(data_dir: Path) -> dict[str, str]:
    """Write the two archives and return their checksums: red pets before a green background, with a blue border."""
    folder = data_dir / "oxford-iiit-pet"
    folder.mkdir(parents=True)
    lines = "".join(f"{name} {i // 5 + 1} {i // 5 + 1} 1\n" for i, name in enumerate(NAMES))
    for split in ("trainval", "test"):
        save(folder, f"annotations/{split}.txt").write_text(lines)
    for number, name in enumerate(NAMES):
        trimap = np.full((48 + number, 64), 2, np.uint8)
        trimap[16:40, 20:44], trimap[20:36, 24:40] = 3, 1
        Image.fromarray(trimap).save(save(folder, f"annotations/trimaps/{name}.png"))
        colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
        Image.fromarray(colours[trimap - 1]).save(save(folder, f"images/{name}.jpg"), subsampling=0)
    return {f"{name}.tar.gz": packed(folder / name) for name in ("images", "annotations")}


def save(folder: Path, name: str) -> Path:
    """Make the folder of a file, and return its path."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    return folder / name


def packed(folder: Path) -> str:
    """Move a folder into an archive, and return its checksum."""
    archive = folder.with_name(f"{folder.name}.tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    shutil.rmtree(folder)
    return md5(archive)


def expect_pets(monkeypatch: pytest.MonkeyPatch, sums: dict[str, str]) -> None:
    """Let the data module expect these checksums."""
    monkeypatch.setattr("arc_light.data.pets.OxfordPetsDataModule.md5", sums)
