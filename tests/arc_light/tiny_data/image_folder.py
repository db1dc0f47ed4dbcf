"""A tiny folder of images."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image


def make(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a few images of two classes, and of ten for the digits."""
    write_folder(data_dir / "images")
    write_folder(data_dir / "digits", "0123456789")


def write_image(path: Path, size: tuple[int, int] = (12, 10), colour: Sequence[int] = (200, 100, 0)) -> Path:
    """Write an image file of one colour, `size` being width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, tuple(colour)).save(path)
    return path


def write_folder(root: Path, classes: Sequence[str] = ("cat", "dog"), per_class: int = 10, suffix: str = "png") -> Path:
    """Write `root/<class>/<number>.<suffix>`, every image of a colour of its own."""
    for red, name in enumerate(classes):
        for green in range(per_class):
            write_image(root / name / f"{green}.{suffix}", colour=(25 * red, 5 * green, 128))
    return root
