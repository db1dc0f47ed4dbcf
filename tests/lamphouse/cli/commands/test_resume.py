"""`resume`: a run goes on as if it had never stopped."""

import csv
import shutil
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
    assert [int(row["step"]) for row in after[:4]] == [int(before[0]["step"]) + 21 * epoch for epoch in range(4)]
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
        same = [name for name in first if name not in {"seconds", "images_per_second"}]
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


def test_where_data_is_may_change(arc: Command, trained: Path) -> None:
    assert arc("resume", "--run", trained, "--trainer.max_epochs=3", "--data.num_workers=1").status == 0
    assert arc("resume", "--run", trained, "--trainer.max_epochs=4", "--data.batch_size=32").status == 2
