"""Checkpoints on disk."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lamphouse.checkpoints.files import write_checkpoint
from lamphouse.runs.directory import Run


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow over 64 KiB, which stands for a full disk."""
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, action)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_newest_makes_the_one_before_the_previous(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for epoch in range(3):
        write_checkpoint({"epoch": epoch}, run.last)
        write_checkpoint({"epoch": epoch}, run.best)
    assert [torch.load(path)["epoch"] for path in (run.last, run.previous, run.best)] == [2, 1, 2]
    assert names(tmp_path) == {"last.ckpt", "previous.ckpt", "best.ckpt"}


def test_a_checkpoint_that_the_disk_does_not_take_leaves_the_one_before(tmp_path: Path, small_files: None) -> None:
    run = Run(tmp_path)
    write_checkpoint({"epoch": 1}, run.last)
    with pytest.raises(OSError, match="File too large"):
        write_checkpoint({"epoch": 2, "weights": torch.zeros(2**15)}, run.last)
    assert torch.load(run.last) == {"epoch": 1}
    assert names(tmp_path) == {"last.ckpt"}


def test_an_error_of_torch_stays_one(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="pickle"):
        write_checkpoint({"function": lambda: None}, tmp_path / "last.ckpt")
    assert names(tmp_path) == set()
