"""Checkpoints on disk."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from lamphouse.checkpoints import WholeCheckpointIO, load_checkpoint
from lamphouse.checkpoints.files import write_checkpoint
from lamphouse.cli.diagnosis import loading
from lamphouse.errors import InputError
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
    assert [torch.load(path)["epoch"] for path in (run.last, tmp_path / "previous.ckpt", run.best)] == [2, 1, 2]
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


@pytest.fixture
def trainer() -> Trainer:
    """Have a stock Trainer train and write `model.ckpt`."""
    trainer = Trainer(fast_dev_run=True, accelerator="cpu", plugins=[WholeCheckpointIO()], enable_model_summary=False)
    trainer.fit(BoringModel())
    trainer.save_checkpoint("model.ckpt")
    return trainer


def test_a_stock_trainer_checks_every_byte(trainer: Trainer) -> None:
    path = Path("model.ckpt")
    trainer.test(BoringModel(), ckpt_path=path, weights_only=True)
    weight = trainer.model.state_dict()["layer.weight"].numpy().tobytes()  # type: ignore[union-attr]  # it is there
    content = path.read_bytes()
    assert content.count(weight) == 1
    path.write_bytes(content.replace(weight, bytes([weight[0] ^ 1]) + weight[1:]))
    torch.load(path, weights_only=True)  # torch does not notice
    with pytest.raises(InputError, match=r"^model.ckpt: damaged \(in "):
        trainer.test(BoringModel(), ckpt_path=path, weights_only=True)


def test_a_stock_trainer_runs_no_code(trainer: Trainer) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, ("exploded",)

    torch.save({**load_checkpoint(Path("model.ckpt")), "bomb": Bomb()}, "bomb.ckpt")
    with pytest.raises(InputError, match=r"^bomb.ckpt: not a readable checkpoint"):
        trainer.test(BoringModel(), ckpt_path="bomb.ckpt", weights_only=False)
    assert not Path("exploded").exists()


def test_a_pipe_is_not_waited_for() -> None:
    os.mkfifo("last.ckpt")
    with pytest.raises(InputError, match=r"^last.ckpt: not a file"):
        load_checkpoint(Path("last.ckpt"))


def test_only_errors_of_restoring_are_the_checkpoints() -> None:
    """Our own file `progress.py`, or any other of a name that Lightning uses, has errors of its own."""
    Path("progress.py").write_text("{}['missing']")
    code = compile(Path("progress.py").read_text(), "progress.py", "exec")
    with pytest.raises(KeyError, match="missing"), loading("last.ckpt"):
        exec(code)  # noqa: S102  # written above
    trainer = Trainer(fast_dev_run=True, accelerator="cpu", enable_model_summary=False)
    torch.save({"state_dict": {}, "epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.6.6"}, "other.ckpt")
    with pytest.raises(InputError, match=r"^other.ckpt: does not fit the run"), loading("other.ckpt"):
        trainer.fit(BoringModel(), ckpt_path="other.ckpt", weights_only=True)
