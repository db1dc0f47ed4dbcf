"""Metrics of an epoch: the mean loss, averages over samples, and any torchmetrics metrics."""

import copy
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities import apply_to_collection
from torch import Tensor, nn
from torchmetrics import Metric

from lamphouse.errors import InputError

Mode = Literal["min", "max"]  # which value of a metric is the best
OfLoss = Callable[[Tensor], Tensor]  # increasing function of the mean loss
Average = Callable[[Any, Any], Tensor]  # of predictions and targets: values for each sample, [B, ...], or their mean


class EpochMetrics(Metric):
    """The mean loss and other metrics of all samples since the last reset, in all processes.

    Sums of loss and averages are one vector on the device: a step is one small update, without synchronization.
    Several values of one of `metrics` are reported as NAME_KEY.
    """

    full_state_update = False
    sums: Tensor  # of losses, of each average and of samples; [2 + averages]
    metrics: Any  # ModuleList of Metric

    def __init__(
        self,
        averages: Mapping[str, Average] = {},
        metrics: Mapping[str, Metric] = {},
        of_loss: Mapping[str, OfLoss] = {},
    ) -> None:
        super().__init__()
        self.of_loss = dict(of_loss)
        self.averages, self.average_names = tuple(averages.values()), ("loss", *averages)
        self.metric_names = tuple(metrics)
        if taken := metrics.keys() & {*self.average_names, *of_loss}:
            raise InputError(f"--model.metrics {min(taken)}: the model has this metric already: choose another name")
        self.metrics = nn.ModuleList(copy.deepcopy(metric) for metric in metrics.values())
        self.add_state("sums", torch.zeros(2 + len(averages)), dist_reduce_fx="sum")

    def update(self, loss: Tensor, predictions: Any, targets: Any) -> None:
        """Add a batch: its mean loss, a scalar; predictions and targets, [B, ...], or whatever the metrics take."""
        if not (samples := samples_in(targets)):
            return  # a process that has none left
        averages = (average(predictions, targets) for average in self.averages)
        sums = [values.sum() if values.ndim == 1 else values.float().mean() * samples for values in averages]
        count = torch.full((), samples, dtype=torch.float32, device=loss.device)  # bfloat16 counts to 256
        self.sums = self.sums.float() + torch.stack([loss.detach().float() * samples, *sums, count])
        for name, metric in zip(self.metric_names, self.metrics, strict=True):
            for key, state in metric.metric_state.items():
                setattr(metric, key, exact(state) if isinstance(state, Tensor) else state)  # bf16-true has cast it
            named(name, metric.update, *apply_to_collection((predictions, targets), Tensor, exact))

    def running(self) -> dict[str, Tensor]:
        """Return loss and averages of this process so far; not-a-number before the first batch."""
        return dict(zip(self.average_names, self.sums[:-1] / self.sums[-1], strict=True))

    def compute(self) -> dict[str, Tensor]:
        values = self.running()
        values |= {name: function(values["loss"]) for name, function in self.of_loss.items()}
        for name, metric in zip(self.metric_names, self.metrics, strict=True):
            values |= flattened(name, named(name, metric.compute))
        return values

    def reset(self) -> None:
        with torch.inference_mode(mode=False):  # else a metric validated in that mode could not be updated in another
            super().reset()
            for metric in self.metrics:
                metric.reset()

    def mode(self, name: str) -> Mode | None:
        """Return which value of one of the metrics is the best; None if that is not known."""
        for known, metric in zip(self.metric_names, self.metrics, strict=True):
            if name == known or name.startswith(f"{known}_"):
                return {True: "max", False: "min"}.get(metric.higher_is_better)  # type: ignore[return-value]
        return "min" if name in self.of_loss else mode_by_name(name)

    def since(self, sums: Tensor | None) -> dict[str, float]:
        """Average loss and averages of this process over the samples since `sums` had these values; None: the reset."""
        total, *_ = values = (self.sums if sums is None else self.sums - sums).flip(0).tolist()
        return {name: value / total for name, value in zip(self.average_names, values[:0:-1], strict=True)}

    @property
    def names(self) -> list[str]:
        """List what `compute` returns, as far as that is known before the first batch."""
        names = [*self.average_names, *self.of_loss]
        for name, metric in zip(self.metric_names, copy.deepcopy(self.metrics), strict=True):
            try:
                with warnings.catch_warnings(action="ignore"):  # that nothing was measured yet
                    names += flattened(name, metric.compute())
            except (RuntimeError, ValueError, IndexError):  # without any samples it has no value
                names.append(name)
        return names


def samples_in(targets: Any) -> int:
    """Count the samples of a batch by its targets: [B, ...], or a mapping of such."""
    return len(next(iter(targets.values())) if isinstance(targets, Mapping) else targets)


def with_classes(metric: type[Metric], options: Mapping[str, Any], num_classes: int | None) -> dict[str, Any]:
    """Complete the options of a torchmetrics class, or of one that chooses by its task, by the number of classes.

    Raises:
        InputError: the class needs a number, and there is none, or the options have another one.
    """
    known, filled = signature(metric).parameters, dict(options)
    if "task" in known and filled.get("task") is None:
        filled["task"] = "multiclass"
    if "num_classes" not in known or filled.get("task", "multiclass") != "multiclass":
        return filled
    given = filled.get("num_classes")
    option = f"--model.metrics {metric.__name__}.num_classes"
    if num_classes is None and given is None:
        raise InputError(f"{option}: the data has no classes: give the option, or another metric")
    if num_classes is not None and given not in {None, num_classes}:
        raise InputError(f"{option} {given}: the data has {num_classes}: leave the option out, it comes from the data")
    return {**filled, "num_classes": given or num_classes}


def named(name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of the metric of this name; raise an InputError if it rejects its options or its input."""
    try:
        return function(*args)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise InputError(f"--model.metrics {name}: {error}: change its options, or leave it out") from error


def exact(tensor: Tensor) -> Tensor:
    """Detach a tensor, and convert low-precision numbers to float32."""
    tensor = tensor.detach()
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)) if tensor.is_floating_point() else tensor


def flattened(name: str, value: Any) -> dict[str, Tensor]:
    """Name every scalar of a metric's value: NAME, or NAME_KEY for the entries of mappings, sequences and tensors."""
    if isinstance(value, Tensor) and value.numel() != 1:
        value = list(value.flatten())
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {name: torch.as_tensor(value).reshape(())}
    parts = (flattened(f"{name}_{key}", part) for key, part in value.items())
    return {key: scalar for part in parts for key, scalar in part.items()}


def mode_by_name(name: str) -> Mode | None:
    """Return which value is the best of a metric that is called a loss or an accuracy; None of other metrics."""
    found = re.search(r"(?:^|[/_.-])(?:(loss)|acc|accuracy)(?:_epoch|_step)?$", name, re.IGNORECASE)
    return None if found is None else "min" if found[1] else "max"


def class_probabilities(outputs: Any, num_classes: int) -> Tensor | None:
    """Return the probabilities of classes, float32 [B, C], from logits or probabilities.

    None if there is not one output for each of several classes: the model computes something else.
    """
    if not isinstance(outputs, Tensor) or num_classes < 2 or outputs.shape[1:] != (num_classes,):
        return None
    values: Tensor = outputs.float()
    sums = values.sum(1)
    are_probabilities = bool((values >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
    return values if are_probabilities else values.softmax(1)


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


def class_counts(labels: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Count, for each class, its correct predictions, its samples and its predictions, int64 [3, C]."""
    parts = (labels[labels == predicted], labels, predicted)
    return torch.stack([part.bincount(minlength=num_classes) for part in parts])


def class_table(counts: Tensor, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return count, accuracy, precision and F1 score of each class from its counts, [3, C], see `class_counts`."""
    correct, samples, predicted = counts.double()
    accuracy, precision = correct / samples.clamp(min=1), correct / predicted.clamp(min=1)
    f1 = 2 * correct / (samples + predicted).clamp(min=1)
    names = ("name", "count", "accuracy", "precision", "f1")
    rows = zip(classes, samples.long().tolist(), accuracy.tolist(), precision.tolist(), f1.tolist(), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]
