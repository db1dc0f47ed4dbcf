"""Which value of a metric is the best, and callbacks that act on new values."""

import re
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lamphouse.errors import InputError

Mode = Literal["min", "max"]  # which value of a metric is the best


def mode_by_name(name: str) -> Mode | None:
    """Return which value is the best of a metric that is called a loss or an accuracy; None of other metrics."""
    found = re.search(r"(?:^|[/_.-])(?:(loss)|acc|accuracy)(?:_epoch|_step)?$", name, re.IGNORECASE)
    return None if found is None else "min" if found[1] else "max"


def chosen_mode(option: str, metric: str, given: Mode | None, module: Any) -> Mode:
    """Return which value of a metric is the best: as `given`, as the module knows it, or by the metric's name.

    Raises:
        InputError: neither is known, or one contradicts the other.
    """
    known = module.metric_mode(metric) if hasattr(module, "metric_mode") else mode_by_name(metric)
    if given and known and given != known:
        better = "lower" if known == "min" else "higher"
        raise InputError(f"--{option}.mode {given}: {metric} is better the {better} it is: use {known}")
    if not (given or known):
        raise InputError(f"--{option}.mode: it is not known whether low or high {metric} is better: give min or max")
    return given or known  # type: ignore[return-value]  # one of them is not None


class MonitorsMetric(Callback):
    """Acts on new values of a metric, by what its other base class does in `on_validation_end` (abstract).

    A value that a validation or a callback has measured is new once; a metric that is logged at the end of the epoch,
    after the validation, is waited for.
    """

    option = ""  # of the command line
    monitor: Any  # name of the metric
    given_mode: Mode | None = None
    at_epoch_end = False  # act once an epoch only
    _value: Tensor | None = None
    _validated = False

    def choose_mode(self, module: Any) -> None:
        """Find out which value of the metric is the best, and begin with the worst."""

    def is_new(self, trainer: Trainer) -> bool:
        """Return whether the metric was measured since the last call."""
        value = trainer.callback_metrics.get(self.monitor or "")
        new = value is not None and not (self._value is not None and value.is_set_to(self._value))
        self._value = value
        return new if self.monitor else bool(trainer.validating)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.choose_mode(pl_module)
        super().setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated |= not trainer.sanity_checking
        if not self.at_epoch_end and self.is_new(trainer):
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Act on a value that is new since the validation.

        Raises:
            InputError: there was a validation, and there is no such metric yet.
        """
        if self.is_new(trainer):
            super().on_validation_end(trainer, pl_module)
        elif self.monitor and self._value is None and self._validated:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"--{self.option}.monitor {self.monitor}: no such metric; there are {known}")
