"""Which value of a metric is the best, whether it is there at all, and each value counted once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Outcome
from lightning.pytorch import Trainer
from stock import LoggingModel
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassF1Score

from lamphouse.callbacks import EarlyStop
from lamphouse.checkpoints import BestCheckpoint, load_checkpoint
from lamphouse.errors import InputError
from lamphouse.monitoring import mode_by_name
from lamphouse.optim import ReduceLROnPlateau
from arc_light.models.mlp import MLPClassifier

METRICS = {"f1": MulticlassF1Score(3), "mse": MeanSquaredError(), "confusion": MulticlassConfusionMatrix(3)}
KNOWN = {"val/loss": "min", "val/acc": "max", "train/acc": "max", "val/f1": "max", "val/mse": "min"}


def task(**options: Any) -> MLPClassifier:
    return MLPClassifier([8], input_shape=(1, 8, 8), num_classes=3, metrics=METRICS, **options)


@pytest.mark.parametrize(("metric", "mode"), KNOWN.items())
def test_the_mode_is_that_of_the_metric(metric: str, mode: str) -> None:
    plateau = task(lr_scheduler=lambda optimizer: ReduceLROnPlateau(optimizer, metric))
    configured: Any = plateau.configure_optimizers(total_steps=1)
    best, stop = BestCheckpoint(monitor=metric), EarlyStop(metric, min_delta=0.5)
    for callback in (best, stop):
        callback.choose_mode(plateau)
    scheduler = configured["lr_scheduler"]["scheduler"]
    worst = torch.tensor(float("inf" if mode == "min" else "-inf"))
    assert {best.mode, stop.mode, scheduler.mode} == {mode}
    assert best.kth_value == stop.best_score == scheduler.best == worst
    assert stop.min_delta == (0.5 if mode == "max" else -0.5)


@pytest.mark.parametrize("name", ["val/confusion_0", "other"])
def test_what_is_not_known_has_to_be_given(name: str) -> None:
    with pytest.raises(InputError, match=rf"--early_stopping.mode: it is not known whether low or high {name} is"):
        EarlyStop(name).choose_mode(task())
    EarlyStop(name, mode="max").choose_mode(task())


def test_metrics_of_other_models_are_known_by_name() -> None:
    names = ["val_loss", "loss", "val/loss_epoch", "top5_acc", "val_accuracy", "glossiness", "f1"]
    assert [mode_by_name(name) for name in names] == ["min", "min", "min", "max", "max", None, None]


class Scripted(LoggingModel):
    """Logs these values: in validations, and at the ends of epochs."""

    def __init__(self, validations: list[float], epochs: list[float] | None = None) -> None:
        super().__init__()
        self.values, self.ends = iter(validations), iter(epochs or [])

    def on_validation_epoch_end(self) -> None:
        self.log("val_acc", next(self.values))
        self.log("val_loss", 1.0)

    def on_train_epoch_end(self) -> None:
        if (value := next(self.ends, None)) is not None:
            self.log("late_acc", value)


EPOCHS: dict[str, Any] = {
    "max_epochs": 6,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 1,
    "enable_checkpointing": True,
}


def trained(model: Scripted, *callbacks: Any, **options: Any) -> Trainer:
    trainer = Trainer(callbacks=list(callbacks), **EPOCHS | options)
    trainer.fit(model)
    return trainer


def test_a_value_that_was_not_measured_again_is_not_counted() -> None:
    stop = EarlyStop("val_acc", patience=2)
    trainer = trained(Scripted([0.1, 0.2, 0.1, 0.1]), stop, max_epochs=20, check_val_every_n_epoch=3)
    assert trainer.current_epoch == 12


def test_a_metric_that_is_logged_after_the_validation_is_that_of_its_epoch() -> None:
    best = BestCheckpoint("run", "best", monitor="late_acc")
    trained(Scripted([0.0] * 6, [0.1, 0.2, 0.9, 0.3, 0.4, 0.5]), best)
    assert load_checkpoint(Path("run", "best.ckpt"))["epoch"] == 2


OWN = """
from arc_light.models.mlp import MLPClassifier


class Mine(MLPClassifier):
    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        self.log("val/brightness", batch[0].mean())
"""
MONITORS = ["--best_checkpoint.monitor=val/brightness", "--best_checkpoint.mode=min"]


def test_a_metric_that_a_model_logs_is_monitored(fit: Callable[..., Outcome], own: Callable[[str], str]) -> None:
    options = ["--early_stopping.monitor=val/brightness", "--early_stopping.mode=max", "--early_stopping.patience=1"]
    outcome = fit(f"--model={own(OWN)}", "--trainer.max_epochs=3", *MONITORS, *options)
    assert outcome.status == 0
    (config,) = Path("runs").glob("*/*/config.yaml")
    assert yaml.safe_load(config.read_text())["best_checkpoint"]["monitor"] == "val/brightness"
    assert "epoch  1 of 0..1" in outcome.out


@pytest.mark.parametrize("option", ["early_stopping", "best_checkpoint"])
def test_a_metric_that_nobody_logs_is_one_line(
    fit: Callable[..., Outcome], own: Callable[[str], str], option: str
) -> None:
    outcome = fit(f"--model={own(OWN)}", f"--{option}.monitor=val/darkness", f"--{option}.mode=max")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1 + outcome.err.count("note:"))
    assert f"--{option}.monitor val/darkness: no such metric; there are " in outcome.err
    assert "val/brightness" in outcome.err


def test_lightnings_own_keeps_its_short_name_and_its_wrong_mode_is_refused(fit: Callable[..., Outcome]) -> None:
    own = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/acc"]
    outcome = fit(*own)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "--trainer.callbacks EarlyStopping.mode min: val/acc is better the higher it is: use max" in outcome.err
    assert fit(*own, "--trainer.callbacks.mode=max").status == 0
