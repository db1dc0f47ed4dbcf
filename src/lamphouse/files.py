"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    with written_whole(path, path.with_name(f".{path.name}.{os.getpid()}")) as file:
        file.write(text.encode())


@contextmanager
def written_whole(path: Path, temporary: Path, predecessor: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file beside its place, have the disk confirm what is written to it, and only then put it there.

    Args:
        path: its place.
        temporary: where it is until it is whole.
        predecessor: where the file that it replaces goes; None keeps none.
    """
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if predecessor is not None and path.exists():
            path.replace(predecessor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
