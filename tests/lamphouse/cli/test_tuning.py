"""`tune`, and what is said where memory does not suffice."""

import re
from collections.abc import Callable
from itertools import count
from pathlib import Path

import hungry
import numpy as np
import pytest
import torch
from conftest import CONFIGS, Outcome
from PIL import Image

from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.data import Batch
from lamphouse.machine.memory import only_available_memory, out_of_memory
from lamphouse.runs.directory import find_run
from arc_light.classification import Classifier
from arc_light.models.mlp import MLPClassifier

Command = Callable[..., Outcome]
OUT_OF_MEMORY = "out of memory: use a smaller --data.batch_size, less data or a smaller model"
EXPERIMENT = ["-c", CONFIGS / "trainer.yaml", "-c", CONFIGS / "digits_mlp.yaml", "--trainer.accelerator=cpu"]
LOOPS: list[list[str]] = [
    [],
    ["--loop=manual"],
    ["--loop=handwritten"],
]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have temporary files written where the test sees them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def left(temporary: Path) -> list[Path]:
    return [path for path in temporary.iterdir() if "wandb" not in path.name]  # which writes there when imported


def tune(arc: Command, *args: object) -> Outcome:
    return arc("tune", *EXPERIMENT, *args)


@pytest.mark.slow
def test_it_says_what_fits_and_how_to_set_it(arc: Command, temporary: Path) -> None:
    outcome = tune(arc, "--model=hungry.Hungry", "--model.fits=150")
    assert outcome.status == 0
    assert "--data.batch_size 128\n" in outcome.out
    suggested = float(re.findall(r"--model.optimizer.lr (\S+)\n", outcome.out)[0])
    assert 1e-4 < suggested < 1e-1
    assert "at batch size 128" in outcome.out
    (run,) = Path("runs", "digits_mlp").iterdir()
    assert run.name.startswith("tune-")
    assert [path.name for path in run.iterdir()] == ["lr.png"]
    assert f"{run}/lr.png" in outcome.out
    with Image.open(run / "lr.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5  # something is drawn
    assert left(temporary) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--ema=0.9", "--loop=manual", "--trainer.max_epochs=1", "--trainer.precision=bf16-mixed"],
        ["--model.lr_scheduler=ReduceLROnPlateau", "--trainer.accumulate_grad_batches=3", "--data.num_workers=0"],
    ],
    ids=str,
)
def test_the_options_of_fit_apply(arc: Command, options: list[str]) -> None:
    outcome = tune(arc, *options)
    assert outcome.status == 0
    assert "--data.batch_size 1024\n" in outcome.out  # of 1,295 training images


@pytest.mark.slow
def test_its_directory_is_no_run(arc: Command, trained: Path) -> None:
    tune(arc)
    assert find_run(Path("runs")).path == find_run(Path("runs/digits_mlp")).path == trained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--foo"], ["--foo"]),
        (["--model.optimizer.lr=-1"], ["learning rate: -1"]),
        (["--trainer.devices=2"], ["--trainer.devices 2", "one device"]),
        (["--trainer.fast_dev_run=true"], ["--trainer.fast_dev_run True"]),
        (["--model=hungry.Hungry", "--model.fits=0"], ["out of memory even with a batch of one image"]),
        (
            ["--model=hungry.Hungry"],
            ["out of memory with batches of 128 images, but not with 16: --data.batch_size 16"],
        ),
        (["--model=unstable.NanLoss", "--model.bad_batch=1"], ["no learning rate from 1e-06 to 10.0"]),
    ],
    ids=str,
)
def test_bad_input(arc: Command, temporary: Path, options: list[str], words: list[str]) -> None:
    outcome = tune(arc, *options)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert all(word in outcome.err for word in words)
    assert not Path("runs").exists()
    assert left(temporary) == []


@pytest.mark.parametrize("steps", [0, pytest.param(40, marks=pytest.mark.slow)])  # of either search
def test_an_interrupt_leaves_nothing_behind(
    arc: Command, temporary: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Within the search for a batch size, or that for a learning rate."""
    taken = count()

    def interrupted(model: MLPClassifier, batch: Batch) -> object:
        if next(taken) == steps:
            raise KeyboardInterrupt
        return Classifier.loss(model, batch)

    monkeypatch.setattr(MLPClassifier, "loss", interrupted)
    assert tune(arc).status == 130
    assert not Path("runs").exists()
    assert left(temporary) == []


def advised(outcome: Outcome, failed: int, fits: int) -> bool:
    said = f"out of memory with batches of {failed} images, but not with {fits}: --data.batch_size {fits}"
    return outcome.status == 2 and outcome.err.count("\n") == 1 and said in outcome.err


@pytest.mark.parametrize("name", hungry.ERRORS)
def test_a_lack_of_memory_is_known_by_its_words(name: str) -> None:
    assert out_of_memory(hungry.ERRORS[name]()) == (name != "other")


@pytest.mark.slow
def test_out_of_memory_in_training(fit: Command, temporary: Path) -> None:
    assert advised(fit("--model=hungry.Hungry", "--model.error=cuda"), 128, 16)
    assert list(Path("runs", "digits_mlp").iterdir()) == []
    assert left(temporary) == []


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fits", [2, 1])
def test_the_advice_can_be_followed(fit: Command, loop: list[str], fits: int) -> None:
    options = [*loop, "--model=hungry.Hungry", f"--model.fits={fits}"]
    assert advised(fit(*options), 128, fits)
    assert fit(*options, f"--data.batch_size={fits}").status == 0


@pytest.mark.slow
def test_out_of_memory_with_two_images(fit: Command) -> None:
    assert advised(fit("--model=hungry.Hungry", "--model.fits=1", "--data.batch_size=2"), 2, 1)


def test_an_error_that_is_no_lack_of_memory_is_shown_as_it_is(fit: Command) -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit("--model=hungry.Hungry", "--model.error=other")


@pytest.fixture
def hungry_run(fit: Command) -> Path:
    """Train with few images at a time."""
    fit("--model=hungry.Hungry", "--data.batch_size=8")
    (run,) = Path("runs", "digits_mlp").iterdir()
    return run


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_out_of_memory_outside_training(
    arc: Command, hungry_run: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(hungry.Hungry, "forward", scarce(1))
    Path("images").mkdir()
    for number in range(2):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(f"images/{number}.png")
    args = [command, "--run", hungry_run, *(["--input=images"] if command == "predict" else [])]
    assert arc(*args).err == f"arc_light {command}: {OUT_OF_MEMORY}\n"
    assert command == "evaluate" or arc(*args, "--data.batch_size=1").status == 0


def scarce(fits: int) -> Callable[..., torch.Tensor]:
    def forward(model: hungry.Hungry, images: torch.Tensor) -> torch.Tensor:
        if len(images) > fits:
            raise MemoryError
        return super(hungry.Hungry, model).forward(images)

    return forward


def test_data_that_does_not_fit(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(data: object, train: bool) -> None:
        raise MemoryError

    monkeypatch.setattr("arc_light.data.digits.DigitsDataModule.load", too_much)
    outcome = fit()
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith("arc_light fit: out of memory: ")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this is not Linux")
def test_memory_that_is_not_there_is_refused_instead_of_promised() -> None:
    with only_available_memory(), pytest.raises(RuntimeError, match="can't allocate memory") as refused:
        torch.empty(2**42, dtype=torch.uint8)  # 4 TiB
    assert out_of_memory(refused.value)
    assert len(torch.empty(2**28, dtype=torch.uint8)) == 2**28


@pytest.mark.slow
def test_a_resumed_run_is_advised_too(arc: Command, hungry_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_checkpoint(hungry_run / "last.ckpt")
    monkeypatch.setattr(hungry.Hungry, "forward", scarce(3))
    assert advised(arc("resume", "--run", hungry_run, "--trainer.max_epochs=2"), 8, 2)
    assert (hungry_run / "last.ckpt").is_file()
