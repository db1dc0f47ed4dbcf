"""`resume`: a run goes on as if it had never stopped."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from conftest import Outcome

from lamphouse.callbacks import Throughput

Command = Callable[..., Outcome]


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def state(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return dict(torch.load(run / f"{name}.ckpt", weights_only=True)["state_dict"])


def run_in(folder: str) -> Path:
    (path,) = Path(folder).glob("*/*")
    return path


def test_epochs_are_added_and_the_tests_row_is_made_anew(arc: Command, trained: Path) -> None:
    before = rows(trained)
    outcome = arc("resume", "--run", trained, "--trainer.max_epochs=4")
    assert (outcome.status, outcome.err) == (0, "")
    after = rows(trained)
    assert after[:2] == before[:2]
    assert [row["epoch"] for row in after[:4]] == ["0", "1", "2", "3"]
    assert [bool(row["test/acc"]) for row in after] == [False] * 4 + [True]
    assert [int(row["step"]) for row in after[:4]] == [int(before[0]["step"]) + 11 * epoch for epoch in range(4)]
    assert torch.load(trained / "last.ckpt", weights_only=True)["epoch"] == 4
    assert yaml.safe_load((trained / "config.yaml").read_text())["trainer"]["max_epochs"] == 4
    assert [path.name for path in trained.parent.iterdir()] == [trained.name]


def test_rows_of_an_epoch_that_was_not_finished_are_dropped(arc: Command, trained: Path) -> None:
    """The run had gone on after its last checkpoint."""
    text = (trained / "metrics.csv").read_text()
    (trained / "metrics.csv").write_text(text.replace("\n1,", "\n1,", 1) + "2,99" + "," * 9 + "\n")
    arc("resume", "--run", trained, "--trainer.max_epochs=3")
    assert [row["epoch"] for row in rows(trained)][:3] == ["0", "1", "2"]
    assert len(rows(trained)) == 4
    assert rows(trained)[2]["step"] != "99"


def test_a_resumed_run_equals_one_that_never_stopped(fit: Command, arc: Command) -> None:
    options = ["--model.lr_scheduler=null", "--data.augment+=RandomFlip", "--trainer.limit_train_batches=5"]
    fit(*options, "--trainer.max_epochs=4", "--runs=whole")
    fit(*options, "--trainer.max_epochs=2", "--runs=parts")
    arc("resume", "--run", run_in("parts"), "--trainer.max_epochs=4")
    whole, parts = state(run_in("whole")), state(run_in("parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    for first, second in zip(rows(run_in("whole")), rows(run_in("parts")), strict=True):
        same = [name for name in first if name not in {"seconds", "samples_per_second"}]
        assert {name: first[name] for name in same} == {name: second[name] for name in same}


def test_the_schedule_goes_on_along_its_longer_curve(fit: Command, arc: Command) -> None:
    options = [
        "--model.lr_scheduler=WarmupCosineLR",
        "--model.lr_scheduler.warmup=0",
        "--trainer.limit_train_batches=4",
    ]
    fit(*options, "--trainer.max_epochs=4", "--runs=whole")
    fit(*options, "--trainer.max_epochs=2", "--runs=parts")
    arc("resume", "--run", run_in("parts"), "--trainer.max_epochs=4")
    whole, parts = ([float(row["lr"]) for row in rows(run_in(name))[:4]] for name in ("whole", "parts"))
    assert parts[3] == pytest.approx(whole[3])
    assert parts[1] == pytest.approx(0.005)  # halfway down the shorter curve


def test_the_best_epoch_so_far_is_remembered(fit: Command, arc: Command) -> None:
    """What is resumed destroys the model: the best checkpoint stays, also in a moved directory."""
    whole = [f"--trainer.limit_{part}_batches=1.0" for part in ("train", "val", "test")]
    leap = ["--model.lr_scheduler=StepLR", "--model.lr_scheduler.step_size=2", "--model.lr_scheduler.gamma=1e6"]
    fit(*whole, *leap, "--trainer.max_epochs=2", "--early_stopping.patience=99")
    shutil.move("runs", "moved")
    before = state(run_in("moved"), "best")
    arc("resume", "--run", run_in("moved"), "--trainer.max_epochs=3", "--check_finite=false")
    epochs = [float(row["val/acc"]) for row in rows(run_in("moved")) if row["val/acc"]]
    assert epochs[2] < max(epochs[:2])
    after = state(run_in("moved"), "best")
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert float(rows(run_in("moved"))[-1]["test/acc"]) > 2 * epochs[2]


def test_a_run_is_resumed_again_and_again(arc: Command, trained: Path) -> None:
    for epochs in (3, 4):
        assert arc("resume", f"--trainer.max_epochs={epochs}").status == 0
    assert [row["epoch"] for row in rows(trained)[:4]] == ["0", "1", "2", "3"]


def test_an_interrupted_run_goes_on_without_options(
    fit: Command, arc: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Throughput.on_train_epoch_start

    def interrupt(callback: Throughput, trainer: object, module: object) -> None:
        if getattr(trainer, "current_epoch", 0) == 2:
            raise KeyboardInterrupt
        begin(callback, trainer, module)  # type: ignore[arg-type]  # stand-ins for both

    with monkeypatch.context() as patched:
        patched.setattr(Throughput, "on_train_epoch_start", interrupt)
        assert fit("--trainer.max_epochs=4").status == 130
    assert [row["epoch"] for row in rows(run_in("runs"))] == ["0", "1"]
    assert arc("resume").status == 0
    assert [row["epoch"] for row in rows(run_in("runs"))[:4]] == ["0", "1", "2", "3"]
    assert torch.load(run_in("runs") / "last.ckpt", weights_only=True)["epoch"] == 4


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--trainer.gradient_clip_val", "1.0"),
        ("--trainer.limit_train_batches", "3"),
        ("--trainer.precision", '"bf16-mixed"'),
        ("--seed_everything", "3"),
        ("--data.batch_size", "32"),
        ("--model.optimizer.lr", "0.5"),
        ("--best_checkpoint.monitor", '"val/loss"'),
    ],
)
def test_what_a_run_computes_may_not_change(arc: Command, trained: Path, option: str, value: str) -> None:
    before = (trained / "config.yaml").read_bytes()
    outcome = arc("resume", "--run", trained, "--trainer.max_epochs=3", f"{option}={value}".replace('"', ""))
    assert outcome.status == 2
    assert f"{option} {value}: was " in outcome.err
    assert (trained / "config.yaml").read_bytes() == before
    assert len(rows(trained)) == 3


def test_what_has_changed_is_said_and_recorded(arc: Command, trained: Path) -> None:
    options = ["--trainer.max_epochs=3", "--data.num_workers=1", "--logger=tensorboard"]
    outcome = arc("resume", "--run", trained, *options)
    assert outcome.status == 0, outcome.err
    for text in ("--data.num_workers from 0 to 1", "--trainer.max_epochs from 2 to 3"):
        assert f"changed: {text}\n" in outcome.out
    *_, last = json.loads((trained / "history.json").read_text())
    assert last["changed"]["--logger"] == ["none", "tensorboard"]
    assert last["ended"] == "after 3 epochs and 33 steps, max_epochs reached"


@pytest.mark.parametrize("loop", ["automatic", pytest.param("handwritten", marks=pytest.mark.slow)])
def test_beyond_an_early_stop(fit: Command, arc: Command, loop: str) -> None:
    """A larger patience counts on, as if it had been there from the start; with another goal it counts anew."""
    constant = [f"--loop={loop}", "--model.lr_scheduler=null", "--model.optimizer.lr=1e-9"]
    constant.append("--early_stopping.min_delta=0.1")
    stopped = fit(*constant, "--trainer.max_epochs=9", "--early_stopping.patience=1")
    reason = "early stopping: val/acc was no better than "
    assert f"after 2 epochs and 4 steps, {reason}" in stopped.out
    assert f"after 2 epochs and 4 steps, {reason}" in arc("resume").err
    for option, epochs in (("--early_stopping.patience=2", 3), ("--trainer.max_epochs=10", 5)):
        assert f"after {epochs} epochs and {2 * epochs} steps, {reason}" in arc("resume", option).out
    ended = "after 10 epochs and 20 steps, max_epochs reached"
    assert ended in arc("resume", "--stop_early=false").out


def test_a_threshold_that_would_stop_it_again(fit: Command, arc: Command) -> None:
    stopped = fit("--trainer.max_epochs=9", "--early_stopping.stopping_threshold=0.01")
    assert "after 1 epoch and 2 steps, early stopping: Stopping threshold reached" in stopped.out
    refused = arc("resume", "--trainer.max_epochs=10")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert refused.err.endswith("give --stop_early false, or another threshold\n")
    assert arc("resume", "--trainer.max_epochs=2", "--stop_early=false").status == 0


def test_a_run_has_one_writer(arc: Command, trained: Path) -> None:
    lock = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", lock, str(trained / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        refused = arc("resume", "--run", trained, "--trainer.max_epochs=3")
        other.kill()
    assert (refused.status, len(rows(trained))) == (2, 3)
    assert "another process trains this run" in refused.err
    assert arc("resume", "--run", trained, "--trainer.max_epochs=3").status == 0


def test_losses_in_the_directory_are_said(arc: Command, trained: Path) -> None:
    (trained / "metrics.csv").unlink()
    (trained / "best.ckpt").write_bytes(b"")
    refused = arc("resume", "--run", trained, "--trainer.max_epochs=3")
    assert "best.ckpt: not a readable checkpoint: delete it to keep the best of the epochs to come" in refused.err
    (trained / "best.ckpt").unlink()
    outcome = arc("resume", "--run", trained, "--trainer.max_epochs=3")
    assert (outcome.status, outcome.err) == (0, "note: metrics.csv lacks epochs 0..1\n")
    assert torch.load(trained / "best.ckpt", weights_only=True)["epoch"] == 2


def test_nothing_is_written_through_a_link(arc: Command, trained: Path) -> None:
    Path("outside").mkdir()
    (trained / "tensorboard").symlink_to(Path("outside").absolute())
    outcome = arc("resume", "--run", trained, "--trainer.max_epochs=3", "--logger=tensorboard")
    assert outcome.status == 2
    assert "a link that leads out of the run's directory" in outcome.err
    assert list(Path("outside").iterdir()) == []
