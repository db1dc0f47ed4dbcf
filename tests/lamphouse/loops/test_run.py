"""Runs of every loop from the command line: the same directory, to be used in the same ways."""

import csv
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import AUTOMATIC, HANDWRITTEN, LOOPS
from conftest import CONFIGS
from PIL import Image
from tiny_data import cifar10, image_folder, mnist, pets

from lamphouse.callbacks import progress
from lamphouse.checkpoints.files import load_checkpoint
from arc_light.models.mlp import MLPClassifier

Fit = Callable[..., Any]
TIMES = {"seconds", "samples_per_second"}


def run_of(folder: str) -> Path:
    return next(Path(folder).glob("*/*"))


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def same_weights(mine: Path, yours: Path) -> bool:
    a, b = (load_checkpoint(path)["state_dict"] for path in (mine, yours))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.gradient_clip_val=0.1", "--trainer.accumulate_grad_batches=2", "--ema=0.9", "--model.dropout=0.2"],
        pytest.param(
            ["--trainer.precision=bf16-mixed", "--trainer.limit_train_batches=0.2", "--trainer.max_epochs=3"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_loop_prints_and_leaves_the_same(fit: Fit, options: list[str]) -> None:
    printed = []
    for loop in LOOPS:
        done = fit(f"--loop={loop}", f"--runs={loop}", *options)
        assert (done.status, done.err) == (0, "")
        lines = [line for line in done.out.splitlines() if not line.startswith(("wall", "throughput", "run"))]
        printed.append([line.split()[:8] for line in lines])
    assert printed[0] == printed[1] == printed[2]
    runs = [run_of(loop) for loop in LOOPS]
    for run in runs[1:]:
        assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in runs[0].iterdir())
        assert rows_of(run) == rows_of(runs[0])
        for name in ("last.ckpt", "best.ckpt"):
            assert same_weights(run / name, runs[0] / name)
            for key in ("epoch", "global_step"):
                assert load_checkpoint(run / name)[key] == load_checkpoint(runs[0] / name)[key]


@pytest.mark.slow
@pytest.mark.parametrize("loop", [HANDWRITTEN, *(pytest.param(loop, marks=pytest.mark.slow) for loop in LOOPS[1:])])
def test_its_run_can_be_evaluated_resumed_and_predicted_with(fit: Fit, arc: Fit, loop: str) -> None:
    fit(f"--loop={loop}", "--model.lr_scheduler=null", "--trainer.max_epochs=2", "--ema=0.5")
    run = run_of("runs")
    reached = rows_of(run)
    evaluated = arc("evaluate", "--run", run, "--trainer.limit_val_batches=2", "--trainer.limit_test_batches=2")
    assert (evaluated.status, evaluated.err) == (0, "")
    assert f"{float(reached[-1]['test/loss']):.4f}" in evaluated.out
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("black.png")
    assert arc("predict", "--run", run, "--input", "black.png").status == 0

    assert arc("resume", "--run", run, "--trainer.max_epochs=4").status == 0
    fit(f"--loop={loop}", "--model.lr_scheduler=null", "--trainer.max_epochs=4", "--ema=0.5", "--runs=whole")
    assert same_weights(run / "last.ckpt", run_of("whole") / "last.ckpt")
    assert rows_of(run) == rows_of(run_of("whole"))


@pytest.mark.slow
def test_a_resumed_run_remembers_its_best_epoch_and_its_patience(fit: Fit, arc: Fit) -> None:
    options = ["--loop=handwritten", "--model.lr_scheduler=null", "--early_stopping.min_delta=0.9"]
    options.append("--early_stopping.patience=3")  # no epoch but the first is that much better
    fit(*options, "--trainer.max_epochs=2")
    arc("resume", "--run", "runs", "--trainer.max_epochs=20")
    assert len(rows_of(run_of("runs"))) == 4 + 1
    fit(*options, "--trainer.max_epochs=20", "--runs=whole")
    assert same_weights(run_of("runs") / "best.ckpt", run_of("whole") / "best.ckpt")


@pytest.mark.parametrize(
    "experiment",
    [pytest.param(path.stem, marks=pytest.mark.slow) for path in CONFIGS.glob("*.yaml") if path.stem != "trainer"],
)
def test_every_shipped_experiment_is_trained_by_hand(fit: Fit, experiment: str, monkeypatch: Any) -> None:
    for maker in (mnist, cifar10, image_folder, pets):
        maker.make(Path("data"), monkeypatch)
    done = fit("--loop=handwritten", "--trainer.max_epochs=2", experiment=experiment)
    assert (done.status, done.err) == (0, "")


def test_a_run_is_resumed_by_its_own_loop(fit: Fit, arc: Fit) -> None:
    fit("--loop=handwritten")
    done = arc("resume", "--run", "runs", "--trainer.max_epochs=2", "--loop=automatic")
    assert done.status == 2
    _, message = done.err.split(": ", 1)
    assert message.startswith('--loop "automatic": was "handwritten", and decides what a run computes: leave it out')


@pytest.mark.slow
def test_checkpoints_load_into_the_model_and_back(fit: Fit) -> None:
    for loop in LOOPS:
        fit(f"--loop={loop}", f"--runs={loop}")
    mine, manual, theirs = (run_of(loop) / "best.ckpt" for loop in LOOPS)
    assert load_checkpoint(manual)["hyper_parameters"] == load_checkpoint(theirs)["hyper_parameters"]
    images = torch.rand(5, 1, 8, 8)
    models = [MLPClassifier.load_from_checkpoint(path, weights_only=True).eval() for path in (mine, theirs)]
    assert torch.equal(models[0](images), models[1](images))
    models[1].load_state_dict(load_checkpoint(mine)["state_dict"])
    assert load_checkpoint(mine)["hyper_parameters"] == load_checkpoint(theirs)["hyper_parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["csv", "tensorboard", "wandb"])
def test_every_logger_gets_the_same(fit: Fit, logger: str) -> None:
    for loop in (HANDWRITTEN, AUTOMATIC):
        assert fit(f"--loop={loop}", f"--runs={loop}", f"--logger={logger}").status == 0
    mine, theirs = ({kind(path, run) for path in run.rglob("*")} for run in map(run_of, (HANDWRITTEN, AUTOMATIC)))
    assert mine == theirs


def kind(path: Path, run: Path) -> str:
    """Name a file in a run, without the run's own name and without times."""
    return re.sub(r"\d+", "#", str(path.relative_to(run)).replace(run.name, "run"))


@pytest.mark.parametrize("loop", [AUTOMATIC, HANDWRITTEN])
def test_a_bar_fits_the_terminal_and_ctrl_c_leaves_nothing_of_it(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", -1)
    monkeypatch.setenv("COLUMNS", "50")
    draw = progress.show_progress
    with monkeypatch.context() as patch:
        patch.setattr(progress, "show_progress", lambda *of: (draw(*of), os.kill(os.getpid(), signal.SIGINT)))
        stopped = fit(f"--loop={loop}")
    bar, _, rest = stopped.err.rpartition("\x1b[2K")
    assert "epoch 0/0: " in bar
    assert max(map(len, bar.split("\r"))) < 50
    assert rest.startswith("arc_light fit: stopped by SIGINT")
    assert fit(f"--loop={loop}", "--trainer.enable_progress_bar=false").err == ""


UNSUPPORTED = "not supported by the hand-written loop: leave it out, or use --loop automatic"
REFUSED = [
    ("--trainer.max_steps=5", f"--trainer.max_steps 5: {UNSUPPORTED}"),
    ("--trainer.fast_dev_run=true", "--trainer.fast_dev_run True:"),
    ("--trainer.num_sanity_val_steps=2", "--trainer.num_sanity_val_steps 2:"),
    ("--trainer.strategy=ddp", "--trainer.strategy ddp:"),
    ("--trainer.devices=2", "--trainer.devices 2: the hand-written loop uses 1"),
    ("--trainer.callbacks=lightning.pytorch.callbacks.LearningRateMonitor", "--trainer.callbacks"),
    ("--trainer.precision=64-true", "--trainer.precision 64-true: the hand-written loop has 32-true, bf16-mixed"),
    ("--trainer.max_epochs=-1", "--trainer.max_epochs -1: the hand-written loop needs 1 or more"),
    ("--trainer.plugins=lightning.pytorch.plugins.io.AsyncCheckpointIO", "--trainer.plugins"),
    ("--early_stopping.stopping_threshold=0.9", "--early_stopping.stopping_threshold 0.9:"),
    ("--best_checkpoint.save_top_k=2", "--best_checkpoint.save_top_k 2:"),
    ("--best_checkpoint.filename=top", "--best_checkpoint.filename top:"),
    (
        "--best_checkpoint.monitor=null",
        "--best_checkpoint.monitor None: the hand-written loop monitors val/",
    ),
    ("--trainer.limit_train_batches=0.001", "--trainer.limit_train_batches 0.001: no batch of 11"),
]


@pytest.mark.parametrize(("option", "message"), REFUSED)
def test_what_the_hand_written_loop_cannot_do_is_refused(fit: Fit, option: str, message: str) -> None:
    done = fit("--loop=handwritten", option)
    assert done.status == 2
    assert done.err.startswith(f"arc_light fit: {message}")
    assert len(done.err.splitlines()) == 1
    assert not list(Path().glob("runs/*/*"))


OWN = """
from typing import Any
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from lightning.pytorch import LightningDataModule, LightningModule
from arc_light.data.digits import DigitsDataModule
from arc_light.classification import Classifier
from arc_light.models.mlp import MLPClassifier

"""
FOCAL = """
class Mine(Classifier):
    def __init__(self, width: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Dropout(0.5), nn.Linear(width, 10))

    def loss(self, batch):
        logits = self(batch[0])
        return (F.cross_entropy(logits, batch[1], reduction="none") ** 2).mean(), logits
"""
STOCK = '''
class Mine(LightningDataModule):
    """Loaders of torch's own kind, with everything that draws from the global generator."""

    num_classes, input_shape = 10, (1, 8, 8)

    def __init__(self, num_workers: int = 0) -> None:
        super().__init__()
        self.num_workers = num_workers

    def setup(self, stage):
        self.images = TensorDataset(torch.rand(50, 1, 8, 8), torch.randint(10, (50,)))

    def train_dataloader(self):
        return DataLoader(self.images, batch_size=8, shuffle=True, num_workers=self.num_workers)

    def val_dataloader(self):
        return DataLoader(self.images, batch_size=8, num_workers=self.num_workers)

    test_dataloader = val_dataloader
'''


OWN_PARTS = [
    (FOCAL, "--model", []),
    pytest.param((STOCK, "--data", ["--data.num_workers=2"]), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("model_and_data", OWN_PARTS)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_users_own_model_and_data_compute_the_same_bits(
    arc: Fit, own: Callable[[str], str], model_and_data: tuple[str, str, list[str]]
) -> None:
    code, option, more = model_and_data
    parts = {"--model": "MLPClassifier", "--data": "DigitsDataModule", option: own(OWN + code)}
    trainer = Path(__file__).parents[3] / "configs" / "trainer.yaml"
    options = ["-c", trainer, *(f"{name}={value}" for name, value in parts.items()), *more]
    done = arc(
        "parity", *options, "--trainer.max_epochs=2", "--trainer.limit_train_batches=5", "--trainer.accelerator=cpu"
    )
    assert (done.status, done.out.strip().splitlines()[-1][:35]) == (0, "the loops computed the same bits: 1")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("class Mine(LightningModule):\n  def __init__(self, num_classes, input_shape, lr_scheduler):\n"
         "    super().__init__()",
         "--model Mine: the hand-written loop needs a Task"),
        ("class Mine(MLPClassifier):\n  def training_step(self, batch, i): return super().training_step(batch, i)",
         "Mine.training_step: the hand-written loop does not call it"),
        ("class Mine(MLPClassifier):\n  def on_train_batch_end(self, *_): pass",
         "Mine.on_train_batch_end: the hand-written loop does not call it"),
        ("class Mine(MLPClassifier):\n  def optimizer_step(self, *_): pass",
         "Mine.optimizer_step: the hand-written loop does not call it"),
        ("class Mine(MLPClassifier):\n  def loss(self, b):\n    self.log('x', 1.0)\n    return super().loss(b)",
         "the model or its data uses trainer.barebones, perhaps by self.log: the hand-written loop"),
        ("class Mine(MLPClassifier):\n  def loss(self, batch): return (self.trainer.max_epochs, batch)",
         "the model or its data uses trainer.max_epochs"),
        ("class Mine(MLPClassifier):\n  def configure_optimizers(self, total_steps=None):\n"
         "    optimizer = super().configure_optimizers(total_steps)\n    return [optimizer, optimizer]",
         "configure_optimizers: expected one optimizer"),
    ],
)  # fmt: skip
def test_a_model_that_expects_more_is_refused(fit: Fit, own: Callable[[str], str], code: str, message: str) -> None:
    done = fit("--loop=handwritten", f"--model={own(OWN + code)}", "--model.lr_scheduler=null")
    assert done.status == 2
    assert done.err.startswith(f"arc_light fit: {message}")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("class Mine(DigitsDataModule):\n  def on_exception(self, error): pass",
         "Mine.on_exception: the hand-written loop does not call it"),
        ("class Mine(DigitsDataModule):\n  def val_dataloader(self): return [super().val_dataloader()]",
         "--data Mine.val_dataloader: expected one DataLoader with a length"),
        ("class Mine(DigitsDataModule):\n  def on_after_batch_transfer(self, batch, i): return self.trainer.training",
         "the model or its data uses trainer.training"),
    ],
)  # fmt: skip
def test_data_that_expects_more_is_refused(fit: Fit, own: Callable[[str], str], code: str, message: str) -> None:
    done = fit("--loop=handwritten", f"--data={own(OWN + code)}")
    assert done.status == 2
    assert done.err.startswith(f"arc_light fit: {message}")
