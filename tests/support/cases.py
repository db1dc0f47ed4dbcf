"""Small trainings by each of the three loops, and what they computed."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins import MixedPrecision
from torch.amp import GradScaler
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lamphouse.callbacks import EMA, StopNotFinite, Throughput
from lamphouse.callbacks.finite import FiniteCheck
from lamphouse.checkpoints.best import BestCheckpoint
from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.checkpoints.resume import ExactResume
from lamphouse.checkpoints.signals import StopSignals
from lamphouse.cli.commands.fit import run_loop
from lamphouse.cli.main import IGNORED_WARNINGS
from lamphouse.data import AlternatingFlip, ImageDataModule, RandomCrop, RandomFlip, Samples
from lamphouse.loggers.table import MetricsTable
from lamphouse.loops.parity import Outcome
from lamphouse.loops.trace import trace
from lamphouse.optim import ConvMuon, OneCycle, WarmupCosineLR, WarmupLinearLR
from lamphouse.runs.directory import Run
from arc_light.classification import Classifier
from arc_light.loops.manual import optimize_manually
from arc_light.models.fast_resnet import FastResNetClassifier
from arc_light.models.mlp import MLPClassifier
from arc_light.models.resnet import ResNetClassifier

HANDWRITTEN, MANUAL, AUTOMATIC = "handwritten", "manual", "automatic"
OPTIMIZERS: dict[str, Any] = {
    "sgd": partial(SGD, lr=0.05),
    "nesterov": partial(SGD, lr=0.05, momentum=0.9, nesterov=True),
    "adamw": partial(AdamW, lr=0.01),
    "muon": ConvMuon,
}
SCHEDULES: dict[str, Any] = {
    "none": None,
    "step": partial(StepLR, step_size=1, gamma=0.5),
    "one_cycle": OneCycle,
    "warmup_linear": WarmupLinearLR,
    "warmup_cosine": partial(WarmupCosineLR, warmup=0.3),
    "plateau": partial(ReduceLROnPlateau, mode="min", patience=0, threshold=10.0),  # no epoch is that much better
}
PRECISIONS = {"fp32": None, "bf16": "bf16-mixed", "fp16": "16-mixed"}
MODELS: dict[str, Any] = {
    "mlp": partial(MLPClassifier, hidden_sizes=[16], dropout=0.3),
    # a width of 8, for below it torch 2.15 writes beyond its memory by AVX2 with channels last
    "resnet": partial(ResNetClassifier, depth=8, width=8, channels_last=True),
    "fast_resnet": partial(FastResNetClassifier, widths=[4, 8], test_time_flip=True),
}
FACTORS = {
    "model": list(MODELS),
    "optimizer": ["sgd", "nesterov", "adamw"],
    "schedule": ["none", "step", "one_cycle", "warmup_cosine", "plateau"],
    "clip": ["none", "norm", "value"],
    "accumulate": [1, 3],
    "precision": list(PRECISIONS),
    "stopping": ["never", "loss", "acc"],
    "ema": [None, 0.9],
    "workers": [0, 2],
}


@dataclass(frozen=True)
class Case:
    """A combination of options, a value of each factor."""

    model: str = next(iter(MODELS))
    optimizer: str = "nesterov"
    schedule: str = "none"
    clip: str = "none"
    accumulate: int = 1
    precision: str = "fp32"
    stopping: str = "never"
    ema: float | None = None
    workers: int = 0
    epochs: int = 3
    accelerator: str = "cpu"
    check_finite: bool = True

    def __str__(self) -> str:
        """Name it after its values."""
        return "-".join(str(value) for name, value in asdict(self).items() if name in FACTORS)


class BlobsDataModule(ImageDataModule):
    """Samples of noise whose brightness tells their class of three: 30 to train in batches of 7, the last of 2."""

    classes = ("dark", "grey", "bright")
    input_shape = (1, 8, 8)
    mean, std = (0.5,), (0.3,)

    def load(self, train: bool) -> Samples:
        random = torch.Generator().manual_seed(0 if train else 1)
        labels = torch.arange(42 if train else 9) % 3
        noise = torch.randint(0, 120, (len(labels), *self.input_shape), generator=random)
        return Samples((noise + 60 * labels.view(-1, 1, 1, 1)).byte(), labels)


def data_of(case: Case) -> BlobsDataModule:
    augment = [RandomFlip(), RandomCrop(1), AlternatingFlip()]
    return BlobsDataModule(augment, batch_size=7, val_fraction=0.25, num_workers=case.workers, seed=1)


def model_of(case: Case) -> Classifier:
    common = {"input_shape": (1, 8, 8), "num_classes": 3, "optimizer": OPTIMIZERS[case.optimizer]}
    common["lr_scheduler"] = SCHEDULES[case.schedule]
    model: Classifier = MODELS[case.model](**common)
    return model


def experiment_of(loop: str, case: Case, run: Run, model: LightningModule | None = None) -> Any:
    """Put together what `Experiment` does, with less to parse; the parts that the loops look at."""
    seed_everything(3, verbose=False)
    metric = "val/loss" if case.stopping == "loss" else "val/acc"
    best = {"monitor": "val/acc", "mode": "max"}
    stopping = {"monitor": metric, "mode": "min" if case.stopping == "loss" else "max", "min_delta": 0.05}
    stopping |= {"patience": 1000 if case.stopping == "never" else 1, "check_finite": True}
    model = model or model_of(case)
    options = SimpleNamespace(
        accumulate_grad_batches=case.accumulate,
        gradient_clip_val=None if case.clip == "none" else 0.05,
        gradient_clip_algorithm=None if case.clip == "none" else case.clip,
    )
    if loop == MANUAL:
        optimize_manually(model, options)
    table, finite = MetricsTable(run.metrics), FiniteCheck(case.check_finite)
    trainer = Trainer(
        accelerator=case.accelerator,
        devices=1,
        max_epochs=case.epochs,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.path,
        deterministic=case.accelerator != "cpu",
        logger=[table],
        plugins=list(precision_plugins(case)),
        callbacks=[*callbacks_of(case, stopping, best, run), StopNotFinite(finite)],
        **vars(options),
    )
    config = SimpleNamespace(
        loop=loop,
        ema=case.ema,
        early_stopping=SimpleNamespace(**stopping),
        best_checkpoint=SimpleNamespace(**best),
        last_checkpoint=SimpleNamespace(every_n_steps=None, minutes=None),
        trainer=SimpleNamespace(enable_progress_bar=False, detect_anomaly=False),
    )
    parts = {"trainer": trainer, "model": model, "datamodule": data_of(case), "table": table, "finite": finite}
    return SimpleNamespace(**parts, run=run, config=config, plugins=[], signals=StopSignals(), complete=False)


def precision_plugins(case: Case) -> Iterator[MixedPrecision]:
    device = "cuda" if case.accelerator == "gpu" else case.accelerator
    precision = PRECISIONS[case.precision]
    if precision == "16-mixed":  # on the CPU the Trainer's own option becomes bf16; the first scales overflow
        yield MixedPrecision("16-mixed", device, GradScaler(device, init_scale=2.0**24, growth_interval=4))
    elif precision:
        yield MixedPrecision(precision, device)


def callbacks_of(case: Case, stopping: dict[str, Any], best: dict[str, Any], run: Run) -> Iterator[Callback]:
    where = {"dirpath": str(run.path), "enable_version_counter": False}
    yield Throughput()
    if case.ema:
        yield EMA(case.ema)
    yield EarlyStopping(**stopping)
    yield BestCheckpoint(filename="best", **best, **where)
    yield ExactResume(str(run.path))


def train(
    loop: str,
    case: Case,
    folder: Path,
    model: LightningModule | None = None,
    change: Callable[[Any], Any] = lambda _: None,
) -> Outcome:
    """Train a case by a loop; `change` may meddle with the experiment before."""
    run = Run(folder / loop)
    run.path.mkdir(parents=True)
    experiment = experiment_of(loop, case, run, model)
    change(experiment)
    noted = trace(experiment.model)
    run_quietly(experiment)
    last, best = (load_checkpoint(path)["state_dict"] for path in (run.last, run.best))
    return Outcome(loop, noted, last, best, experiment.table.rows)


def run_quietly(experiment: Any) -> None:
    with warnings.catch_warnings():
        for message in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        run_loop(experiment)


def train_all(case: Case, folder: Path) -> list[Outcome]:
    return [train(loop, case, folder) for loop in (HANDWRITTEN, MANUAL, AUTOMATIC)]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread, which for tiny tensors is faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def on(accelerator: str, case: Case) -> Case:
    return replace(case, accelerator=accelerator)
