"""Data files of known content."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from torchvision.datasets.utils import check_integrity

from lamphouse.errors import InputError


def check_files(folder: Path, md5: Mapping[str, str]) -> bool:
    """Say whether all files are there.

    Raises:
        InputError: one of them is there but damaged.
    """
    found = {name: digest for name, digest in md5.items() if (folder / name).exists()}
    for name, digest in found.items():
        state = (folder / name).stat()
        if not has_sum((folder / name).absolute(), digest, state.st_size, state.st_mtime_ns):
            raise InputError(
                f"{folder / name}: damaged (its MD5 sum is not {digest}): delete it to have it downloaded again"
            )
    return len(found) == len(md5)


@cache
def has_sum(path: Path, digest: str, size: int, time: int) -> bool:  # noqa: ARG001  # size and time are the key
    """Check the MD5 sum of a file, once for each size and time of a change, ns: the Trainer asks several times."""
    return bool(check_integrity(str(path), digest))


def ensure_downloaded(dataset: Callable[..., Any], data_dir: Path, folder: Path, md5: Mapping[str, str]) -> None:
    """Check the files of a data set, and have torchvision download them where they are missing.

    Of several processes, one downloads and the others wait for it.

    Raises:
        InputError: a file is damaged, there is no network, or what came is not what was asked for.
    """
    if check_files(folder, md5):
        return
    new = [path for path in (data_dir, *data_dir.parents) if not path.exists()]
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / f".{dataset.__name__}.lock"):
            if not check_files(folder, md5):
                download(dataset, data_dir, folder, md5)
    except (OSError, RuntimeError) as error:
        for path in new:
            with suppress(OSError):  # others may have put something there
                path.rmdir()
        way_out = f"put its files into {folder}, or train on data that needs no download"
        raise InputError(f"{dataset.__name__} cannot be downloaded ({error}): {way_out}".replace("\n", " ")) from error


def download(dataset: Callable[..., Any], data_dir: Path, folder: Path, md5: Mapping[str, str]) -> None:
    """Download files aside, and put them in their place when all of them are whole.

    Raises:
        OSError: there is no network, or no space.
        RuntimeError: what came is not what was asked for.
    """
    aside = data_dir / f".{dataset.__name__}"
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
    try:
        dataset(aside, download=True)
        came = aside / folder.relative_to(data_dir)
        if not all(check_integrity(str(came / name), digest) for name, digest in md5.items()):
            raise RuntimeError("files are missing or damaged")
        folder.mkdir(parents=True, exist_ok=True)
        for name in md5:
            (came / name).replace(folder / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
