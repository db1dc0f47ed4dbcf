"""Two processes that train together stop together, and go on to the bits of two that never stopped."""

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import CONFIGS, Outcome, fit_options
from processes import done, start
from same_runs import assert_same, run_in

from lamphouse.checkpoints import load_checkpoint

Command = Callable[..., Outcome]

TWO = ["--trainer.devices=2", "--trainer.max_epochs=3", "--trainer.limit_train_batches=7", "--model.dropout=0.2"]
EVERY_BATCH = [f"--trainer.limit_{part}_batches=1.0" for part in ("train", "val", "test")]
TOLERANCE = 1e-5  # absolute, of weights and metrics; sums of two halves are rounded otherwise than one sum
SAVING = ["--last_checkpoint.every_n_steps=2", "--trainer.accumulate_grad_batches=2"]


def go_on(options: list[str]) -> None:
    """Kill a run when it has written twice, resume it, and compare it with one that was not stopped."""
    assert done(start("fit", *options, "--runs=whole"))[0] == 0
    process = start("fit", *options, "--runs=parts")
    while not any(Path("parts").rglob("previous.ckpt")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    status, err = done(process)
    assert status == -signal.SIGKILL, err
    status, err = done(start("resume", "--run=parts"))
    assert status == 0, err
    assert_same(run_in("whole"), run_in("parts"))


TWO_GPUS = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=TWO_GPUS)])
def test_two_processes_with_shards_go_on(arc: Callable[..., Outcome], device: str) -> None:
    """One process measures their checkpoint, or the file that is written from it, as the two did."""
    sharded = ["-c", str(CONFIGS / "strategy" / "fsdp.yaml"), f"--trainer.accelerator={device}"]
    options = ["--trainer.gradient_clip_val=0.5", "--trainer.limit_test_batches=1.0"]
    go_on([*fit_options("digits_mlp"), *sharded, *TWO, *SAVING, *options])
    run = run_in("parts")
    assert (run / "last.ckpt").is_dir()
    assert (run / "best.ckpt").is_dir()
    assert arc("export", "--run=parts", "--format=ckpt").status == 0
    for more in ([], [f"--checkpoint={run}/export/model.ckpt", "--trainer.strategy=auto"]):
        assert arc("evaluate", "--run=parts", "--trainer.devices=1", *more).status == 0
    torch.distributed.destroy_process_group()
    tested = float([*csv.DictReader((run / "metrics.csv").read_text().splitlines())][-1]["test/loss"])
    measured = json.loads((run / "evaluation.json").read_text())
    assert [one["metrics"]["test/loss"] for one in measured.values()] == pytest.approx([tested] * 2, rel=1e-5)


@pytest.mark.slow
def test_one_process_goes_on_within_an_epoch_of_two(arc: Command, fit: Command) -> None:
    """It takes the steps of the two: the same samples, the last and uneven ones too, and the same metrics."""
    options = ["--model.lr_scheduler=null", "--trainer.max_epochs=2", "--trainer.accumulate_grad_batches=2"]
    options += ["--model.optimizer=SGD", "--model.optimizer.lr=0.1"]  # Adam enlarges what gradients near 0 differ by
    two = ["--trainer.devices=2", "--data.batch_size=25", "--trainer.max_steps=5", "--runs=two"]
    one = ["--trainer.devices=1", "--data.batch_size=50"]
    status, err = done(start("fit", *fit_options("digits_mlp"), *EVERY_BATCH, *options, *two))
    assert status == 0, err
    resumed = arc("resume", "--run=two", *one, "--trainer.max_steps=-1")
    assert "1 process instead of 2, 100 samples a step as before" in resumed.err
    assert fit(*EVERY_BATCH, *options, *one, "--runs=one").status == 0
    runs = [run_in("one"), run_in("two")]
    mine, yours = (load_checkpoint(run / "last.ckpt") for run in runs)
    assert mine["global_step"] == yours["global_step"] == 26
    for name, weight in mine["state_dict"].items():
        torch.testing.assert_close(weight, yours["state_dict"][name], rtol=0, atol=TOLERANCE)
    rows = [(run / "metrics.csv").read_text().splitlines()[-1].split(",")[6:8] for run in runs]
    assert [*map(float, rows[0])] == pytest.approx([*map(float, rows[1])], abs=TOLERANCE)


@pytest.mark.slow
def test_a_process_whose_launcher_was_killed_ends() -> None:
    process = start("fit", *fit_options("digits_mlp"), "--trainer.devices=2", "--runs=killed")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text():
        time.sleep(0.01)
    other = Path("/proc", children.read_text().split()[0])
    process.kill()
    process.communicate(timeout=30)  # the other has the same stderr: this waits until it closes that
    runs = lambda: other.exists() and "(zombie)" not in (other / "status").read_text()  # noqa: E731  # asked twice
    latest = time.monotonic() + 30
    while runs() and time.monotonic() < latest:
        time.sleep(0.01)
    assert not runs()


STOCK = """
import time

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class Slow(TensorDataset):
    def __getitem__(self, index):
        time.sleep(0.01)
        return super().__getitem__(index)


class Mine(LightningDataModule):
    num_classes, input_shape = 10, (1, 8, 8)

    def train_dataloader(self):
        inputs, labels = torch.randn(128, 1, 8, 8), torch.arange(128) % 10
        return DataLoader(Slow(inputs, labels), batch_size=32, num_workers=2, shuffle=True)

    val_dataloader = test_dataloader = train_dataloader
"""


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
@pytest.mark.parametrize("data", ["--data.num_workers=2", "--data=own.Mine"])
def test_workers_that_receive_the_signal_too(data: str, stop: signal.Signals, own: Callable[[str], str]) -> None:
    """A scheduler, or Ctrl-C, sends it to all processes."""
    own(STOCK)
    process = start(
        "fit", *fit_options("digits_mlp"), "--trainer.max_epochs=1000", data, "--early_stopping.patience=1000"
    )
    while not any(Path("runs").rglob("previous.ckpt")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, stop)
    status, err = done(process)
    assert status == (130 if stop == signal.SIGINT else 75), err
    assert err.splitlines()[-1].startswith(f"arc_light fit: stopped by {stop.name}; to continue: ")
    assert "Traceback" not in err
