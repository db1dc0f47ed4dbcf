"""Scaled images are kept: every change is noticed, and whatever happens to the cache, the images are right."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
from fake_data import write_folder, write_image
from numpy.typing import NDArray
from PIL import Image

from lamphouse.data import ImageFolderDataModule, image_files
from lamphouse.data.image_files import read_image

ROOT, CACHE = Path("images"), Path(".cache", "images")
NEW = (1, 2, 3)
PROCESS = """
from lamphouse.data import ImageFolderDataModule
data = ImageFolderDataModule("images", image_size=8)
data.setup("fit")
print(int(data.parts["train"][:][0].long().sum()))
"""


READ: list[str] = []  # files that this process has read


def noting(path: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    READ.append(Path(path).relative_to(ROOT).as_posix())
    return read_image(path, shape)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the files that are read."""
    monkeypatch.setattr(image_files, "read_image", noting)
    READ.clear()
    return READ


def images(**options: object) -> dict[str, torch.Tensor]:
    data = ImageFolderDataModule(ROOT, **{"image_size": 8, **options})  # type: ignore[arg-type]  # options of any type
    data.setup("fit")
    data.setup("test")
    return {f"{part} {i}": image for part, found in data.parts.items() for i, image in enumerate(found[:][0])}


def same(found: dict[str, torch.Tensor], **options: object) -> bool:
    """Tell whether these are the images that are read without a cache."""
    expected = images(cache_dir=None, **options)
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_second_start_reads_no_image(read: list[str]) -> None:
    write_folder(ROOT)
    first = images()
    assert len(read) == 20
    read.clear()
    second = images()
    assert read == []
    assert same(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def add(root: Path) -> None:
    write_image(root / "cat" / "zz.png", colour=NEW)


def remove(root: Path) -> None:
    (root / "cat" / "3.png").unlink()


def rename(root: Path) -> None:
    (root / "cat" / "3.png").rename(root / "cat" / "zz.png")


def move_to_another_class(root: Path) -> None:
    (root / "cat" / "3.png").rename(root / "dog" / "zz.png")


def change(root: Path) -> None:
    write_image(root / "cat" / "3.png", colour=NEW)


def change_without_its_size(root: Path) -> None:
    path = root / "cat" / "3.bmp"
    before = path.stat()
    write_image(path, colour=NEW)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def change_without_its_time(root: Path) -> None:
    path = root / "cat" / "3.png"
    before = path.stat()
    Image.effect_noise((40, 40), 64).convert("RGB").save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch_nothing(root: Path) -> None:
    shutil.copystat(root / "cat", root / "dog")


CHANGES = [add, remove, rename, move_to_another_class, change, change_without_its_size, change_without_its_time]


@pytest.mark.parametrize("happens", [*CHANGES, touch_nothing])
def test_every_change_of_a_part_is_noticed(happens: Callable[[Path], None], read: list[str]) -> None:
    suffix = "bmp" if happens is change_without_its_size else "png"
    for part in ("train", "val", "test"):
        write_folder(ROOT / part, per_class=5, suffix=suffix)
    images()
    read.clear()
    happens(ROOT / "train")
    found = images()
    assert {Path(path).parts[0] for path in read} == (set() if happens is touch_nothing else {"train"})
    assert same(found)


@pytest.mark.parametrize("options", [{"image_size": 4}, {"channels": 1}])
def test_other_images_of_the_same_files_have_a_cache_of_their_own(options: dict[str, int]) -> None:
    write_folder(ROOT)
    images()
    assert same(images(**options), **options)
    assert same(images())
    assert len(list(CACHE.iterdir())) == 4


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"1")


def pickle_it(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([print], object), allow_pickle=True)


def other_format(path: Path) -> None:
    """Write keys, checksums and images as the first version did."""
    key, image = np.ones(16, np.uint8), np.ones((1, 3, 8, 8), np.uint8)
    with path.open("wb") as file:
        for array in (key, np.array([crc32(image, crc32(key))], np.uint32), image):
            np.save(file, array)


def no_cache(path: Path) -> None:
    path.write_text("no cache")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, cut_to_nothing, lengthen, pickle_it, other_format, no_cache, a_folder])
def test_a_damaged_cache_is_not_used(damage: Callable[[Path], None], read: list[str]) -> None:
    write_folder(ROOT)
    images()
    read.clear()
    for path in list(CACHE.iterdir()):
        damage(path)
    found = images()
    assert len(read) == 20
    assert same(found)


@pytest.mark.parametrize("seed", range(12))
def test_no_flipped_byte_reaches_an_image(seed: int, read: list[str]) -> None:
    write_folder(ROOT, per_class=3)
    images()
    path = max(CACHE.iterdir(), key=lambda path: path.stat().st_size)
    random = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    content[random.integers(len(content))] ^= int(random.integers(1, 256))
    path.write_bytes(content)
    read.clear()
    found = images()
    assert same(found)
    read.clear()
    images()
    assert read == []  # the cache is whole again


def test_data_that_cannot_be_written_to_is_no_hindrance() -> None:
    write_folder(ROOT)
    before = sorted(ROOT.rglob("*"))
    images()
    assert sorted(ROOT.rglob("*")) == before
    assert len(list(CACHE.iterdir())) == 2
    assert not [path for path in CACHE.iterdir() if path.name.startswith(".")]


def test_without_a_place_nothing_is_kept(read: list[str]) -> None:
    write_folder(ROOT)
    images(cache_dir=None)
    assert not CACHE.exists()
    Path(".cache").write_text("no folder")
    assert same(images())
    assert len(read) == 20 * 3


@pytest.mark.slow
def test_several_processes_at_once() -> None:
    write_folder(ROOT, per_class=20)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROCESS]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sums = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0] * 3
    assert len(sums) == 1
    assert len(list(CACHE.iterdir())) == 1
