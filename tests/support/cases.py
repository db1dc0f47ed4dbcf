"""Small trainings by each of the three loops, and what they computed."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins import MixedPrecision
from torch.amp import GradScaler
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lamphouse.callbacks import EMA, FiniteCheck, StopNotFinite, Throughput
from lamphouse.checkpoints import BestCheckpoint, ExactResume, WholeCheckpointIO, load_checkpoint
from lamphouse.cli.main import IGNORED_WARNINGS
from lamphouse.data import AlternatingFlip, ImageDataModule, RandomCrop, RandomFlip, Samples
from lamphouse.loggers.table import MetricsTable
from lamphouse.loops import Outcome, Trace, record, train_handwritten
from lamphouse.loops.parity import first_difference
from lamphouse.optim import ConvMuon, OneCycle, WarmupCosineLR, WarmupLinearLR
from arc_light.loops import handwritten
from arc_light.loops.manual import optimize_manually
from arc_light.models.fast_convnet import FastConvNetClassifier
from arc_light.models.mlp import MLPClassifier
from arc_light.models.resnet import ResNetClassifier

LOOPS = HANDWRITTEN, MANUAL, AUTOMATIC = "handwritten", "manual", "automatic"
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
    "fast_convnet": partial(FastConvNetClassifier, widths=[4, 8], test_time_flip=True),
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
    """A combination of options."""

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
    every_n_steps: int | None = None
    best: str = "val/acc"

    def __str__(self) -> str:
        """Name it after its values."""
        return "-".join(str(value) for name, value in asdict(self).items() if name in FACTORS)


class BlobsDataModule(ImageDataModule):
    """Noise whose brightness tells its class of three: 30 training samples in batches of 7, the last of 2."""

    classes = ("dark", "grey", "bright")
    input_shape = (1, 8, 8)
    mean, std = (0.5,), (0.3,)

    def load(self, train: bool) -> Samples:
        random = torch.Generator().manual_seed(0 if train else 1)
        labels = torch.arange(42 if train else 9) % 3
        noise = torch.randint(0, 120, (len(labels), *self.input_shape), generator=random)
        return Samples((noise + 60 * labels.view(-1, 1, 1, 1)).byte(), labels)


def data_of(case: Case) -> LightningDataModule:
    augment = [RandomFlip(), RandomCrop(1), AlternatingFlip()]
    return BlobsDataModule(augment, batch_size=7, val_fraction=0.25, num_workers=case.workers, seed=1)


def make_model(case: Case, adapt: Callable[[Any], Any] = lambda cls: cls) -> LightningModule:
    common = {"input_shape": (1, 8, 8), "num_classes": 3, "optimizer": OPTIMIZERS[case.optimizer]}
    configured = MODELS[case.model]
    model = adapt(configured.func)(**configured.keywords, **common, lr_scheduler=SCHEDULES[case.schedule])
    assert isinstance(model, LightningModule)
    return model


@dataclass
class Experiment:
    """A model, its data and a Trainer, ready to be trained by a loop."""

    loop: str
    model: LightningModule
    data: LightningDataModule
    trainer: Trainer
    table: MetricsTable
    folder: Path

    def run(self) -> None:
        with warnings.catch_warnings():
            for message in IGNORED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            if self.loop == HANDWRITTEN:
                train_handwritten(handwritten, self.trainer, self.model, self.data)
                return
            self.trainer.fit(self.model, datamodule=self.data)
            best = str(self.folder / "best.ckpt")
            self.trainer.test(self.model, self.data, ckpt_path=best, weights_only=True, verbose=False)


def experiment_of(
    loop: str,
    case: Case,
    folder: Path,
    model: Callable[..., LightningModule] = make_model,
    data: Callable[[Case], LightningDataModule] = data_of,
) -> Experiment:
    """Put an experiment together in a folder of its own.

    `model` makes a model for a case, of a class adapted by a function that it gets.
    """
    seed_everything(3, verbose=False)
    clip = None if case.clip == "none" else 0.05
    optimization = {
        "accumulate_grad_batches": case.accumulate,
        "gradient_clip_val": clip,
        "gradient_clip_algorithm": case.clip if clip else None,
    }
    if loop == MANUAL:
        made = model(case, partial(optimize_manually, **optimization))
        optimization = {}
    else:
        made = model(case)
    folder.mkdir(parents=True, exist_ok=True)
    table = MetricsTable(folder / "metrics.csv")
    trainer = Trainer(
        accelerator=case.accelerator,
        devices=1,
        max_epochs=case.epochs,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        deterministic=case.accelerator != "cpu",
        logger=[table],
        plugins=[*precision_plugins(case), WholeCheckpointIO()],
        callbacks=list(callbacks_of(case, folder)),
        **optimization,
    )
    return Experiment(loop, made, data(case), trainer, table, folder)


def precision_plugins(case: Case) -> Iterator[MixedPrecision]:
    device = "cuda" if case.accelerator == "gpu" else case.accelerator
    precision = PRECISIONS[case.precision]
    if precision == "16-mixed":  # the Trainer's own option becomes bf16 on a CPU; the first scales overflow
        yield MixedPrecision("16-mixed", device, GradScaler(device, init_scale=2.0**24, growth_interval=4))
    elif precision:
        yield MixedPrecision(precision, device)


def callbacks_of(case: Case, folder: Path) -> Iterator[Callback]:
    metric = "val/acc" if case.stopping == "acc" else "val/loss"
    mode = "max" if metric == "val/acc" else "min"
    yield Throughput()
    if case.ema:
        yield EMA(case.ema)
    if case.stopping != "never":
        yield EarlyStopping(metric, min_delta=0.05, patience=1, mode=mode)
    where = {"dirpath": folder, "filename": "best", "enable_version_counter": False}
    yield BestCheckpoint(monitor=case.best, mode="max" if case.best == "val/acc" else "min", **where)
    yield ExactResume(str(folder), case.every_n_steps, minutes=None)
    yield StopNotFinite(FiniteCheck(case.check_finite))


def train(
    loop: str, case: Case, folder: Path, change: Callable[[Experiment], Any] = lambda _: None, **parts: Any
) -> Outcome:
    """Train a case with a loop, after `change` has changed the experiment."""
    experiment = experiment_of(loop, case, folder / loop, **parts)
    change(experiment)
    trace = record(experiment.model)
    experiment.run()
    return outcome_of(experiment, trace)


def outcome_of(experiment: Experiment, trace: Trace) -> Outcome:
    last, best = (load_checkpoint(experiment.folder / f"{name}.ckpt")["state_dict"] for name in ("last", "best"))
    return Outcome(experiment.loop, trace, last, best, experiment.table.rows)


def train_all(case: Case, folder: Path, **options: Any) -> list[Outcome]:
    return [train(loop, case, folder, **options) for loop in LOOPS]


def assert_same_bits(outcomes: list[Outcome], case: Case) -> None:
    reference, *others = outcomes
    for other in others:
        assert first_difference(reference, other) is None, f"{other.loop}, {case}"
        assert other.trace.losses() == reference.trace.losses()
        for mine, yours in ((reference.last, other.last), (reference.best, other.best)):
            assert mine.keys() == yours.keys()
            assert all(torch.equal(mine[name], yours[name]) for name in mine)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread, which is faster for tiny tensors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def on(accelerator: str, case: Case) -> Case:
    return replace(case, accelerator=accelerator)
