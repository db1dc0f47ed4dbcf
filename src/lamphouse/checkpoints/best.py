"""The checkpoint of the best epoch, and further ones that are kept."""

import re
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from lamphouse.monitoring import Mode, MonitorsMetric, chosen_mode

KEPT = "checkpoints"  # directory of further checkpoints, beside the best one


class MonitoredCheckpoint(MonitorsMetric, ModelCheckpoint):
    """A ModelCheckpoint that knows which value is the best, also after its directory was moved (abstract)."""

    option = "best_checkpoint"

    def __init__(
        self,
        dirpath: str | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        mode: Mode | None = None,
        save_on_train_epoch_end: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dirpath, filename, monitor, mode=mode or "min", save_on_train_epoch_end=False, **kwargs)
        self.given_mode, self.at_epoch_end = mode, bool(save_on_train_epoch_end)
        if not (kwargs.get("every_n_train_steps") or kwargs.get("train_time_interval")):
            self.on_train_batch_end = None  # type: ignore[assignment,method-assign]  # Lightning skips it: it is idle

    def choose_mode(self, module: Any) -> None:
        mode = chosen_mode(self.option, self.monitor, self.given_mode, module) if self.monitor else self.mode
        if mode != self.mode:
            self.mode, self.kth_value = mode, -self.kth_value  # infinite

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: self._moved(state_dict[name]) for name in paths}
        best = {self._moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})
        self.current_score = state_dict.get("current_score")  # which Lightning saves, but does not load

    def _moved(self, path: str) -> str:
        return str(Path(self.dirpath or ".", Path(path).name)) if path else path


class KeptCheckpoints(MonitoredCheckpoint):
    """Keeps checkpoints in files that are named for epoch, step and metric: the best ones, or one every so many epochs.

    A resumed run keeps the files that it would have kept without the interruption: also the values of files that are
    gone count among the best.
    """

    def __init__(self, dirpath: str | None = None, monitor: str | None = None, **kwargs: Any) -> None:
        metric = f"-{re.sub(r'[^a-zA-Z0-9_]+', '_', monitor)}={{{monitor}:.4f}}" if monitor else ""
        own = {"auto_insert_metric_name": False, "enable_version_counter": False}
        super().__init__(dirpath, f"epoch={{epoch}}-step={{step}}{metric}", monitor, **{**kwargs, **own})


class BestCheckpoint(MonitoredCheckpoint):
    """A ModelCheckpoint that knows which value is the best, and that still does after the run's directory was moved.

    Of equal values of the metric, it keeps that with the lower loss of the same part of the data. If the file of the
    best epoch is gone, the best of the epochs to come is kept.

    Args:
        dirpath: directory of the checkpoint.
        filename: its name, without extension.
        monitor: name of the metric; None saves after every validation.
        mode: whether the lowest or the highest value is the best; None derives it from the metric.
        save_on_train_epoch_end: save at the ends of epochs only, instead of after every validation.
        save_top_k: keep so many of the best in `checkpoints/`, too, named for epoch and metric; -1 keeps all of them.
        every_n_epochs: keep one every so many epochs there, or, with `save_top_k`, the best of these.
        **kwargs: Lightning's own options.
    """

    def __init__(
        self,
        dirpath: str | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        mode: Mode | None = None,
        save_on_train_epoch_end: bool | None = None,
        save_top_k: int = 1,
        every_n_epochs: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dirpath, filename, monitor, mode, save_on_train_epoch_end, **kwargs)
        self.loss_of_best: Tensor | None = None
        self.kept: KeptCheckpoints | None = None
        if save_top_k != 1 or every_n_epochs is not None:
            most = -1 if save_top_k == 1 else save_top_k
            shared = {**kwargs, "mode": mode, "save_on_train_epoch_end": save_on_train_epoch_end}
            further = str(Path(dirpath, KEPT)) if dirpath else None
            self.kept = KeptCheckpoints(further, monitor, save_top_k=most, every_n_epochs=every_n_epochs, **shared)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return whether to save a value that was reached."""
        loss = trainer.callback_metrics.get(loss_beside(self.monitor or ""))
        better = super().check_monitor_top_k(trainer, current)
        if not better and loss is not None and self.loss_of_best is not None:
            tie = bool(current == self.best_model_score) and bool(loss < self.loss_of_best)
            better = trainer.strategy.reduce_boolean_decision(tie)
        if better:
            self.loss_of_best = loss
        return better

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if self.kept:
            self.kept.setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if self.kept:
            self.kept.on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self.kept:
            self.kept.on_train_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        kept = {"kept": self.kept.state_dict()} if self.kept else {}
        return {**super().state_dict(), "loss_of_best": self.loss_of_best, **kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if all(Path(self._moved(path)).exists() for path in state_dict["best_k_models"]):
            super().load_state_dict(state_dict)
            self.loss_of_best = state_dict.get("loss_of_best")
        if self.kept and "kept" in state_dict:
            self.kept.load_state_dict(state_dict["kept"])


def loss_beside(metric: str) -> str:
    """Name the loss of the part of the data that a metric is of: "val/loss" of "val/acc", "val_loss" of "val_acc"."""
    return re.sub(r"(?<=[/_]).*", "loss", metric)
