"""A run has one writer at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from lamphouse.errors import InputError

_held: set[Path] = set()  # directories that this process has locked: closing a second descriptor would unlock them


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
