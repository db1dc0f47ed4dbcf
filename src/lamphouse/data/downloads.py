"""Downloads of data sets: files are complete and verified, or not there."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from torchvision.datasets.utils import check_integrity

from lamphouse.errors import InputError


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
        if not has_md5(path.absolute(), digest, path.stat().st_mtime_ns):
            raise InputError(f"{path}: damaged (its MD5 sum is not {digest}): delete it to have it downloaded again")
    return len(existing) == len(md5)


@cache
def has_md5(path: Path, digest: str, changed: int) -> bool:  # noqa: ARG001  # the time of change is part of the key
    """Verify a file once until it changes: the Trainer prepares data several times."""
    return bool(check_integrity(str(path), digest))


def download(dataset: Callable[..., Any], data_dir: Path, folder: Path, md5: Mapping[str, str]) -> None:
    """Download to a temporary folder, and move the files when all of them are complete."""
    temporary = data_dir / f".{dataset.__name__}"
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    try:
        dataset(temporary, download=True)
        received = temporary / folder.relative_to(data_dir)
        if not all(check_integrity(str(received / name), digest) for name, digest in md5.items()):
            raise RuntimeError("files are missing or damaged")
        folder.mkdir(parents=True, exist_ok=True)
        for name in md5:
            (received / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
