"""Files that are written whole or not at all."""

import os
from pathlib import Path

import pytest

from lamphouse.files import write_whole


def test_a_file_is_written_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("file.txt")
    write_whole(path, "first")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(path, "second")
    assert path.read_text() == "first"
    assert list(Path().iterdir()) == [path]


def test_nobody_finds_a_file_half_written(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda file: found.append(Path("file.txt").exists()))
    write_whole(Path("file.txt"), "text")
    assert found == [False]
    assert Path("file.txt").read_text() == "text"


def test_no_symbolic_link_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one at the file's name nor one that somebody has put where the temporary file might come."""
    Path("outside").write_text("untouched")
    Path("file.txt").symlink_to("outside")
    Path(f".file.txt.{'0' * 16}").symlink_to("outside")
    with monkeypatch.context() as patched:
        patched.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
        with pytest.raises(FileExistsError):
            write_whole(Path("file.txt"), "text")
    write_whole(Path("file.txt"), "text")
    assert Path("outside").read_text() == "untouched"
    assert not Path("file.txt").is_symlink()
    assert Path("file.txt").read_text() == "text"
