"""Pictures of samples, as files."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from lamphouse.errors import short_path
from lamphouse.files import printable, written_whole


@dataclass
class Gallery:
    """PNG files below `folder`, as the files that they are about are below `root`."""

    folder: Path
    root: Path
    taken: set[Path] = field(default_factory=set)

    @classmethod
    def of(cls, paths: Sequence[Path], folder: Path) -> "Gallery":
        """Take as root the innermost folder that has all files."""
        return cls(folder, Path(os.path.commonpath([path.parent.resolve() for path in paths])))

    def write(self, names: Sequence[str], pictures: Sequence[Image.Image]) -> Iterator[tuple[dict[str, Any], str]]:
        """Write a picture for each name of a file; yield cells of a table about it, and the path as text."""
        for name, picture in zip(map(Path, names), pictures, strict=True):
            folder = self.folder / name.parent.resolve().relative_to(self.root)
            path = folder / f"{name.stem}.png"
            if path in self.taken or name.suffix.endswith("]"):
                path = folder / f"{name.name}.png"
            self.taken.add(path)
            folder.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as file:
                picture.save(file, "PNG")
            yield {"picture": printable(str(path))}, short_path(path)
