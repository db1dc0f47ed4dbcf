"""Files written or downloaded whole or not at all, directories with one writer, and paths as users write them."""

import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from lightning_utilities.core.rank_zero import rank_zero_only

from lamphouse.errors import InputError

_held: set[Path] = set()  # directories that this process has locked: closing a second descriptor would unlock them


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
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:  # a new file of a name that nobody predicts: no symbolic link is followed
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, path, previous)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Return a path beside another one, of a name that nobody predicts, which `remove_leftovers` finds."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def put_in_place(new: Path, path: Path, previous: Path | None = None) -> None:
    """Rename a file or directory to `path`; what was there before is kept as `previous`, or removed."""
    if previous is not None and os.path.lexists(path):
        put_in_place(path, previous)
    aside = temporary_path(path)
    if os.path.lexists(path) and (path.is_dir() or new.is_dir()):  # a directory is not replaced in one step
        path.replace(aside)
    new.replace(path)
    remove(aside)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files and directories of writers that were killed; nobody else may be writing `path`."""
    for leftover in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 16}"):
        remove(leftover)


def remove(path: Path) -> None:
    """Remove a file, if it is there, or a directory with all that it holds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def user_path(text: str) -> Path:
    """Return the local path that a user means by `~/x` or `${NAME}/x`.

    Raises:
        InputError: there is no such variable, or the path is a URL.
    """
    check_local(text)
    return Path(expanded(text))


def check_local(path: Path | str, option: str = "") -> None:
    """Raise an `InputError` if a path is a URL, from which pathlib would make a local folder such as `s3:`."""
    if found := re.match(r"(\w{2,}):/+(.*)", str(path)):
        way_out = "give a local path: mount the storage, or copy from and to it with its own tools"
        raise InputError(f"{option} {found[1]}://{found[2]}: a URL: {way_out}".lstrip())


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


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Lock a directory, which is made, against other writers, until the end or until this process dies.

    The lock belongs to this process: loader workers that outlive it do not keep it.

    Raises:
        InputError: another process writes there.
    """
    path = directory.resolve()
    if path in _held or getattr(rank_zero_only, "rank", None):  # of several processes, the first writes
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK)
    _held.add(path)
    try:
        _lock(descriptor, directory)
        yield
    finally:
        _held.discard(path)
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        import fcntl  # noqa: PLC0415  # Windows has none

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise InputError(f"{directory}: another process trains this run: wait until it ends, or stop it") from error
    except (ImportError, OSError):  # a file system without locks
        return


@rank_zero_only
def check_kept(directory: Path) -> None:
    """Raise an `InputError` if a directory that this process has locked was removed."""
    if not (directory / ".lock").exists():
        raise InputError(f"{directory}: was removed while its run trained: start another run with fit")


def ensure_downloaded(dataset: Callable[..., Any], data_dir: Path, folder: Path, md5: Mapping[str, str]) -> None:
    """Verify the files of a data set, and download them if any is missing; other processes wait meanwhile.

    Args:
        dataset: torchvision's class.
        data_dir: its `root`.
        folder: below `data_dir`, where the files are.
        md5: MD5 sums of the files by their names.

    Raises:
        InputError: a file is damaged, or the download fails.
    """
    from filelock import FileLock  # noqa: PLC0415  # few commands need it

    if verify_files(folder, md5):
        return
    lock = data_dir / f".{dataset.__name__}.lock"
    new = [path for path in (data_dir, *data_dir.parents) if not path.exists()]  # the innermost first
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if not verify_files(folder, md5):
                download(dataset, data_dir, folder, md5)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):  # others may have put something there
            lock.unlink(missing_ok=True)
            for path in new:
                path.rmdir()
        way_out = f"put its files into {folder}, or train on data that needs no download"
        raise InputError(f"{dataset.__name__} cannot be downloaded ({error}): {way_out}".replace("\n", " ")) from error


def verify_files(folder: Path, md5: Mapping[str, str]) -> bool:
    """Return whether all files exist; raise an `InputError` if one is damaged."""
    existing = {folder / name: digest for name, digest in md5.items() if (folder / name).exists()}
    for path, digest in existing.items():
        if not has_md5(path, digest):
            raise InputError(f"{path}: damaged (its MD5 sum is not {digest}): delete it to have it downloaded again")
    return len(existing) == len(md5)


def has_md5(path: Path, digest: str) -> bool:
    """Verify a file, once until it changes: the Trainer prepares data several times."""
    return md5_of(path.absolute(), path.stat().st_mtime_ns) == digest


@cache
def md5_of(path: Path, changed: int) -> str:  # noqa: ARG001  # the time of change is part of the key
    """Return the MD5 sum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def download(dataset: Callable[..., Any], data_dir: Path, folder: Path, md5: Mapping[str, str]) -> None:
    """Download to a temporary folder, and move the files when all of them are complete."""
    temporary = data_dir / f".{dataset.__name__}"
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    try:
        dataset(temporary, download=True)
        received = temporary / folder.relative_to(data_dir)
        if not all((received / name).exists() and has_md5(received / name, digest) for name, digest in md5.items()):
            raise RuntimeError("files are missing or damaged")
        folder.mkdir(parents=True, exist_ok=True)
        for name in md5:
            (received / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
