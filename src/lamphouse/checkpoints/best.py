"""The checkpoint of the best epoch."""

import re
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from lamphouse.metrics import Mode, MonitorsMetric, chosen_mode


class BestCheckpoint(MonitorsMetric, ModelCheckpoint):
    """A ModelCheckpoint that knows which value is the best, and that still does after the run's directory was moved.

    Of equal values of the metric, it keeps that with the lower loss of the same part of the data. If the file of the
    best epoch is gone, the best of the epochs to come is kept.

    Args:
        dirpath: directory of the checkpoint.
        filename: its name, without extension.
        monitor: name of the metric; None saves after every validation.
        mode: whether the lowest or the highest value is the best; None derives it from the metric.
        save_on_train_epoch_end: save at the ends of epochs only, instead of after every validation.
        **kwargs: Lightning's own options.
    """

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
        self.loss_of_best: Tensor | None = None

    def choose_mode(self, module: Any) -> None:
        mode = chosen_mode(self.option, self.monitor, self.given_mode, module) if self.monitor else self.mode
        if mode != self.mode:
            self.mode, self.kth_value = mode, -self.kth_value  # infinite

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return whether to save a value that was reached."""
        loss = trainer.callback_metrics.get(loss_beside(self.monitor or ""))
        better = super().check_monitor_top_k(trainer, current)
        if not better and loss is not None and self.loss_of_best is not None and self.save_top_k == 1:
            tie = bool(current == self.best_model_score) and bool(loss < self.loss_of_best)
            better = trainer.strategy.reduce_boolean_decision(tie)
        if better:
            self.loss_of_best = loss
        return better

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "loss_of_best": self.loss_of_best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: self._moved(state_dict[name]) for name in paths}
        best = {self._moved(path): score for path, score in state_dict["best_k_models"].items()}
        if all(Path(path).is_file() for path in best):
            super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})
            self.loss_of_best = state_dict.get("loss_of_best")

    def _moved(self, path: str) -> str:
        return str(Path(self.dirpath or ".", Path(path).name)) if path else path


def loss_beside(metric: str) -> str:
    """Name the loss of the part of the data that a metric is of: "val/loss" of "val/acc", "val_loss" of "val_acc"."""
    return re.sub(r"(?<=[/_]).*", "loss", metric)
