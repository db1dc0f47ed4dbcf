"""Exact resume of plain scripts: killed and started again, they end with the bits of one that was not killed."""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from killed import run_script
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from same_runs import assert_same_checkpoint

from lamphouse.checkpoints import ExactResume, WholeCheckpointIO, load_checkpoint
from lamphouse.checkpoints.files import write_checkpoint
from lamphouse.checkpoints.state import random_state, set_random_state
from lamphouse.errors import InputError, StoppedError

SCRIPT = """
from functools import partial

import torch
from lightning.pytorch import LightningModule, Trainer, callbacks, seed_everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection, classification

from lamphouse.callbacks import EMA
from lamphouse.checkpoints import ExactResume, WholeCheckpointIO
from lamphouse.data import Samples, TensorDataModule


class Noisy(TensorDataset):
    def __getitem__(self, index):
        inputs, label = super().__getitem__(index)
        return inputs + torch.randn_like(inputs), label


class InMemory(TensorDataModule):
    def load(self, train):
        return Samples(inputs, labels)


class Classifier(LightningModule):
    schedule = False

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
        self.metrics = MetricCollection([classification.MulticlassAccuracy(3), classification.MulticlassAUROC(3)])
        self.val_accuracy = classification.MulticlassAccuracy(3)

    def training_step(self, batch, index):
        inputs, labels = batch
        scores = self.network(inputs)
        self.metrics.update(scores, labels)
        return nn.functional.cross_entropy(scores, labels)

    def on_train_epoch_start(self):
        torch.randn(1)

    def on_train_epoch_end(self):
        self.log_dict(self.metrics.compute())
        self.metrics.reset()

    def validation_step(self, batch, index):
        self.val_accuracy(self.network(batch[0]), batch[1])
        self.log("accuracy", self.val_accuracy)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        if not self.schedule:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, steps)
        return [optimizer], [dict(scheduler=schedule, interval="step")]


seed_everything(1)
inputs, labels = torch.randn(66, 8), torch.randint(0, 3, (66,))
val = DataLoader(TensorDataset(inputs, labels), batch_size=8)
more = []
"""
STOCK = (
    "data = dict(train_dataloaders=DataLoader(TensorDataset(inputs, labels), 8, shuffle=True), val_dataloaders=val)\n"
)
WORKERS = """
own = torch.Generator().manual_seed(2)
train = DataLoader(Noisy(inputs, labels), 8, shuffle=True, num_workers=1, generator=own)
data = dict(train_dataloaders=train, val_dataloaders=val)
Classifier.schedule = True
"""
MEMORY = "data = dict(datamodule=InMemory(8, val_fraction=0.2))\n"
MORE = """
best = callbacks.ModelCheckpoint("best", monitor="accuracy", mode="max", enable_version_counter=False)
more = [best, EMA(0.9), callbacks.EarlyStopping("accuracy", mode="max", patience=1)]
"""
END = """
trainer = Trainer(
    max_epochs=3,
    callbacks=[ExactResume("run", every_n_steps=2), *more],
    plugins=[WholeCheckpointIO()],
    accelerator="cpu",
    logger=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Classifier(), **data)
"""


def write_script(*parts: str) -> Path:
    path = Path("script.py")
    path.write_text("".join([SCRIPT, *parts, END]))
    return path


def train_whole(context: Any, script: Path) -> Path:
    """Let the script train until its end, and return its last checkpoint."""
    assert run_script(context, script) == 0, Path("printed").read_text()
    return Path("run").rename("whole") / "last.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize("kills", [[3, 4], [8, 3]], ids=["twice in the first epoch", "twice in the second"])
@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([STOCK], id="stock loader"),
        pytest.param([WORKERS], id="worker and generator"),
        pytest.param([MEMORY], id="in memory"),
        pytest.param([MEMORY, MORE], id="other callbacks"),
        pytest.param([MEMORY, "Trainer = partial(Trainer, max_steps=18)\n"], id="number of steps"),
    ],
)
def test_a_killed_script_ends_with_the_same_bits(context: Any, parts: list[str], kills: list[int]) -> None:
    script = write_script(*parts)
    whole = train_whole(context, script)
    assert [run_script(context, script, step) for step in kills] == [-signal.SIGKILL] * 2
    assert run_script(context, script) == 0, Path("printed").read_text()
    assert_same_checkpoint(Path("run/last.ckpt"), whole)


def test_a_signal_lets_the_step_finish_and_its_checkpoint_be_written(context: Any) -> None:
    script = write_script(MEMORY)
    whole = train_whole(context, script)
    assert run_script(context, script, 9, signal.SIGTERM) == 1
    printed = Path("printed").read_text()
    assert "StoppedError: stopped by SIGTERM\nrun/last.ckpt: the same script continues from here\n" in printed
    assert load_checkpoint(Path("run/last.ckpt"))["global_step"] == 9
    assert run_script(context, script) == 0
    assert_same_checkpoint(Path("run/last.ckpt"), whole)


@pytest.mark.parametrize("parts", [[STOCK], [MEMORY, MORE]], ids=["at its last epoch", "by early stopping"])
def test_a_complete_run_is_not_trained_again(context: Any, parts: list[str]) -> None:
    script = write_script(*parts)
    assert run_script(context, script) == 0
    path = Path("run/last.ckpt")
    before = path.read_bytes()
    assert run_script(context, script, 1, signal.SIGKILL) == 0  # it takes no step
    assert path.read_bytes() == before
    script.write_text(script.read_text().replace("max_epochs=3", "max_epochs=5"))
    assert run_script(context, script, 1, signal.SIGKILL) == -signal.SIGKILL


def test_a_damaged_checkpoint_is_passed_over(context: Any) -> None:
    script, path = write_script(MEMORY), Path("run/last.ckpt")
    whole = train_whole(context, script)
    assert run_script(context, script, 12, signal.SIGKILL) == -signal.SIGKILL
    path.write_bytes(path.read_bytes()[:-100])
    assert run_script(context, script) == 0
    assert "run/last.ckpt: not a readable checkpoint: resuming from previous.ckpt\n" in Path("printed").read_text()
    assert_same_checkpoint(path, whole)


def trainer(max_epochs: int, callback: ExactResume) -> Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(
        max_epochs=max_epochs,
        limit_train_batches=3,
        limit_val_batches=1,
        accelerator="cpu",
        callbacks=[callback],
        plugins=[WholeCheckpointIO()],
        **quiet,
    )


def test_a_path_that_is_given_goes_before() -> None:
    trainer(1, ExactResume("one")).fit(BoringModel())
    trainer(3, ExactResume("three")).fit(BoringModel())
    again = trainer(4, ExactResume("three"))
    again.fit(BoringModel(), ckpt_path="one/last.ckpt")
    assert again.global_step == 4 * 3
    path, rates = Path("three/last.ckpt"), 0.1 * 0.1**4  # of BoringModel's StepLR, had it gone on from three epochs
    assert load_checkpoint(path)["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(rates)


def test_without_a_readable_checkpoint_nothing_is_trained_anew() -> None:
    trainer(1, ExactResume("run")).fit(BoringModel())
    for path in Path("run").iterdir():
        path.write_bytes(b"junk")
    with pytest.raises(InputError, match=r"^run/last.ckpt: not a readable checkpoint"):
        trainer(1, ExactResume("run")).fit(BoringModel())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT])
def test_handlers_are_restored(number: signal.Signals) -> None:
    class Stopped(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            os.kill(os.getpid(), number)
            return super().training_step(batch, batch_idx)

    before = [signal.getsignal(each) for each in signal.valid_signals()]
    trainer(1, ExactResume("run")).fit(BoringModel())
    assert [signal.getsignal(each) for each in signal.valid_signals()] == before
    with pytest.raises(StoppedError, match=f"^stopped by {number.name}"):
        trainer(2, ExactResume("run")).fit(Stopped())
    assert [signal.getsignal(each) for each in signal.valid_signals()] == before


def test_what_could_not_be_read_is_not_written() -> None:
    class Unsafe(BoringModel):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["loss"] = torch.nn.MSELoss()

    with pytest.raises(InputError, match=r"^run/last.ckpt: .*torch.nn.modules.loss.MSELoss cannot be read without"):
        trainer(1, ExactResume("run")).fit(Unsafe())
    assert [path.name for path in Path("run").iterdir()] == [".lock"]


def test_leftovers_of_killed_writers_are_removed() -> None:
    leftover = Path(f".last.ckpt.{'0' * 16}")
    leftover.touch()
    write_checkpoint({"epoch": 1}, Path("last.ckpt"))
    assert list(Path().iterdir()) == [Path("last.ckpt")]


def test_random_numbers_go_on_as_version_0_2_saved_them() -> None:
    before = random.getstate()
    saved = random_state()
    numbers = [random.getrandbits(32) for _ in range(3)]
    for state in (saved, saved | {"python": before}):
        set_random_state(state)
        assert [random.getrandbits(32) for _ in range(3)] == numbers
    random.setstate(before)
