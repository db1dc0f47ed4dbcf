"""A run that was killed and resumed ends with the bits of the one that was not."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from same_runs import assert_same, assert_same_checkpoint, run_in

from lamphouse.checkpoints.files import saved_steps
from arc_light.classification import Classifier
from arc_light.segmentation import Segmenter

Command = Callable[..., Outcome]
THREE_EPOCHS = [
    "--trainer.max_epochs=3",
    "--trainer.limit_train_batches=7",
    "--data.augment=[RandomFlip]",
    "--model.dropout=0.2",
    "--model.lr_scheduler=OneCycle",
    "--last_checkpoint.every_n_steps=2",
]
SCALER = {"class_path": "torch.amp.GradScaler", "init_args": {"device": "cpu", "init_scale": 1e7, "growth_interval": 4}}
FP16 = {"precision": "16-mixed", "device": "cpu", "scaler": SCALER}  # the Trainer's own is bf16 on a CPU
PLUGIN = json.dumps({"class_path": "lightning.pytorch.plugins.MixedPrecision", "init_args": FP16})


def slow(*values: object) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


LOOPS = pytest.mark.parametrize("loop", [[], slow(["--loop=manual"]), slow(["--loop=handwritten"])])


class Killed(BaseException):
    """Ends a run as a kill does: nothing of ours answers to it."""


def die_at(monkeypatch: pytest.MonkeyPatch, call: int, how: Callable[[], None]) -> None:
    """Do something at one of the model's losses, in training, validation or test, counted from 0."""
    loss, calls = Classifier.loss, iter(range(10**6))

    def counted(model: Classifier, batch: Any) -> Any:
        if next(calls) == call:
            how()
        return loss(model, batch)

    monkeypatch.setattr(Classifier, "loss", counted)


def kill() -> None:
    raise Killed


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def run_in_parts(
    fit: Command,
    arc: Command,
    options: list[str],
    at: int,
    how: Callable[[], None],
    look: Callable[[Path], None] = lambda _: None,
) -> Outcome | None:
    """Train until something happens, look at the run, then resume."""
    with pytest.MonkeyPatch.context() as patched:
        die_at(patched, at, how)
        try:
            stopped = fit(*options, "--runs=parts")
        except Killed:
            stopped = None
    look(run_in("parts"))
    resumed = arc("resume", "--run", run_in("parts"))
    assert (resumed.status, resumed.err) == (0, "")
    return stopped


@pytest.mark.slow
@LOOPS
def test_a_killed_run_that_labels_pixels_ends_with_the_same_bits(
    fit: Command, arc: Command, loop: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--data.scenes=40", "--data.batch_size=8", "--model.width=8", "--trainer.max_epochs=2", *loop]
    options += ["--last_checkpoint.every_n_steps=2", "--trainer.limit_train_batches=5"]  # and one for validation
    assert fit(*options, "--runs=whole", experiment="scenes_unet").status == 0
    loss, calls = Segmenter.loss, iter(range(10**6))

    def killed(model: Segmenter, batch: Any) -> Any:
        if next(calls) == 8:
            raise Killed
        return loss(model, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Segmenter, "loss", killed)
        with pytest.raises(Killed):
            fit(*options, "--runs=parts", experiment="scenes_unet")
    assert arc("resume", "--run", run_in("parts")).status == 0
    assert_same(run_in("whole"), run_in("parts"))


# of 9 losses an epoch: training 0..6, validation 7..8; after three epochs the test's two
@LOOPS
@pytest.mark.parametrize("at", [0, slow(3), 8, slow(12), 27])
def test_a_killed_run_ends_with_the_same_bits(fit: Command, arc: Command, loop: list[str], at: int) -> None:
    options = [*THREE_EPOCHS, *loop]
    assert fit(*options, "--runs=whole").err == ""
    assert run_in_parts(fit, arc, options, at, kill) is None
    assert_same(run_in("whole"), run_in("parts"))


@LOOPS
@pytest.mark.parametrize("at", [slow(1), slow(6), 8, 27])
def test_a_run_that_was_asked_to_stop_says_how_to_go_on(fit: Command, arc: Command, loop: list[str], at: int) -> None:
    options = [*THREE_EPOCHS, *loop, "--last_checkpoint.every_n_steps=null"]
    assert fit(*options, "--runs=whole").err == ""
    steps: list[int] = []
    stopped = run_in_parts(fit, arc, options, at, terminate, lambda run: steps.append(saved_steps(run)))
    assert stopped is not None
    assert stopped.status == 75
    if not loop and at in {6, 8}:  # in the last step of an epoch, and in its validation: the epoch is whole
        assert steps == [7]
    assert "fit: stopped by SIGTERM; to continue: " in stopped.err
    assert " resume --run parts/" in stopped.err
    assert_same(run_in("whole"), run_in("parts"))


@LOOPS
@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.accumulate_grad_batches=3", "--trainer.gradient_clip_val=1"],
        slow(["--ema=0.9", "--data.num_workers=2"]),
        ["--trainer.precision=null", f"--trainer.plugins={PLUGIN}", "--model.lr_scheduler=null"],
        ["--model.lr_scheduler=ReduceLROnPlateau", "--model.lr_scheduler.patience=0", "--early_stopping.patience=1"],
    ],
    ids=["accumulation", "ema-workers", "fp16", "plateau"],
)
def test_whatever_a_run_consists_of_is_kept(fit: Command, arc: Command, loop: list[str], options: list[str]) -> None:
    options = [*THREE_EPOCHS, *loop, *options]
    assert fit(*options, "--runs=whole").err == ""
    run_in_parts(fit, arc, options, 15, kill)
    assert_same(run_in("whole"), run_in("parts"))


@pytest.mark.slow
def test_further_checkpoints_are_kept_as_without_an_interruption(fit: Command, arc: Command) -> None:
    options = [*THREE_EPOCHS, "--best_checkpoint.save_top_k=2", "--model.optimizer.lr=1e-4"]
    assert fit(*options, "--runs=whole").err == ""
    names = sorted(path.name.split("-step")[0] for path in (run_in("whole") / "checkpoints").iterdir())
    assert names == ["epoch=1", "epoch=2"]
    shutil.copytree("whole", "late")
    (run_in("late") / "last.ckpt").write_bytes(b"")  # the one before knows of other best epochs than there are files
    assert arc("resume", "--run", run_in("late")).status == 0
    assert_same(run_in("whole"), run_in("late"))
    run_in_parts(fit, arc, options, 21, kill)
    assert_same(run_in("whole"), run_in("parts"))


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ([], ["--trainer.max_steps=3"], ["--trainer.max_steps=18"]),  # before any validation
        slow(["--loop=manual"], ["--trainer.max_steps=10"], ["--trainer.max_steps=18"]),
        slow(["--trainer.val_check_interval=2"], ["--early_stopping.patience=1"], ["--early_stopping.patience=3"]),
    ],
)
def test_a_run_that_ended_within_an_epoch_goes_on_there(
    fit: Command, arc: Command, options: list[str], before: list[str], after: list[str]
) -> None:
    options = [*THREE_EPOCHS, *options, "--model.lr_scheduler=null"]
    assert fit(*options, *after, "--runs=whole").err == ""
    assert fit(*options, *before, "--runs=parts").err == ""
    assert arc("evaluate", "--run", run_in("parts")).status == 0
    assert arc("resume", "--run", run_in("parts"), *after).err == ""
    assert_same_checkpoint(run_in("whole") / "last.ckpt", run_in("parts") / "last.ckpt")


@pytest.mark.parametrize("loop", ["automatic", slow("handwritten")])
def test_a_directory_that_is_removed_ends_its_run(fit: Command, loop: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        die_at(patched, 9, lambda: shutil.rmtree("runs"))
        outcome = fit("--trainer.max_epochs=3", f"--loop={loop}")
    assert outcome.status == 2
    assert "was removed while its run trained" in outcome.err
    assert not list(Path("runs").glob("*/*"))
