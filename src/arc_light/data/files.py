"""Data files of known content."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torchvision.datasets.utils import check_integrity

from arc_light.errors import InputError


def check_files(folder: Path, md5: Mapping[str, str]) -> bool:
    """Say whether all files are there.

    Raises:
        InputError: one of them is there but damaged.
    """
    found = {name: digest for name, digest in md5.items() if (folder / name).exists()}
    for name, digest in found.items():
        if not check_integrity(str(folder / name), digest):
            raise InputError(
                f"{folder / name}: damaged (its MD5 sum is not {digest}): delete it to have it downloaded again"
            )
    return len(found) == len(md5)


def downloaded(dataset: Callable[..., Any], data_dir: Path, folder: Path) -> None:
    """Have torchvision download a data set and check it.

    Raises:
        InputError: there is no network, or what came is not what was asked for.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        dataset(data_dir, download=True)
    except (OSError, RuntimeError) as error:
        for path in new:
            with suppress(OSError):  # what has been downloaded stays
                path.rmdir()
        way_out = f"put its files into {folder}, or train on the embedded digits (EXPERIMENT=digits_mlp)"
        raise InputError(f"{dataset.__name__} cannot be downloaded ({error}): {way_out}".replace("\n", " ")) from error
