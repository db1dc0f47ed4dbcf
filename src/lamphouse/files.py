"""Files that are written whole or not at all, and paths as users write them."""

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lamphouse.errors import InputError


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    with written_whole(path) as file:
        file.write(text.encode())


def printable(text: str) -> str:
    """Escape control characters and, in the names of files, bytes that are not UTF-8."""
    text = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def for_terminal(text: str) -> str:
    """Escape what is not printable, or not in the encoding of standard output."""
    encoding = sys.stdout.encoding or "utf-8"
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


@contextmanager
def written_whole(path: Path, previous: Path | None = None) -> Iterator[BinaryIO]:
    """Write a temporary file, and rename it to `path` at the end; what was there before is kept as `previous`."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:  # a new file of a name that nobody predicts: no symbolic link is followed
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and os.path.lexists(path):
            path.replace(previous)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of writers that were killed; nobody else may be writing `path`."""
    for leftover in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 16}"):
        leftover.unlink(missing_ok=True)


def user_path(text: str) -> Path:
    """Return the local path that a user means by `~/x` or `${NAME}/x`.

    Raises:
        InputError: there is no such variable, or the path is a URL.
    """
    if re.match(r"\w+://", text):
        raise InputError(f"{text}: a URL: give a local directory, such as one where the storage is mounted")
    return Path(expanded(text))


def expanded(text: str) -> str:
    """Replace a leading `~` and every `${NAME}` as a shell does.

    Raises:
        InputError: there is no such variable.
    """
    for name in re.findall(r"\$\{(\w+)\}", text):
        if name not in os.environ:
            raise InputError(f"{text}: the environment has no variable {name}: set it")
    text = re.sub(r"\$\{(\w+)\}", lambda found: os.environ[found[1]], text)
    return str(Path(text).expanduser()) if re.match(r"~(/|$)", text) else text
