"""Metrics of an epoch: the mean loss, averages over samples, and any torchmetrics metrics."""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from lightning_utilities import apply_to_collection
from torch import Tensor, nn
from torchmetrics import Metric

from lamphouse.errors import InputError
from lamphouse.monitoring import Mode, mode_by_name

OfLoss = Callable[[Tensor], Tensor]  # increasing function of the mean loss
MOST_WAITING = 64  # batches
Average = Callable[[Any, Any], Tensor]  # of predictions and targets: values for each sample, [B, ...], or their mean


class EpochMetrics(Metric):
    """The mean loss and other metrics of all samples since the last reset, in all processes.

    Sums of loss and averages are one vector on the device, without synchronization; those of some batches wait until
    they are added together, in their order. Several values of one of `metrics` are reported as NAME_KEY.
    """

    full_state_update = False
    metrics: Any  # ModuleList of Metric
    _sums: Tensor

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
        self._waiting: list[tuple[int, list[Tensor]]] = []  # samples of a batch, and its sums of loss and averages
        self.add_state("sums", torch.zeros(2 + len(averages)), dist_reduce_fx="sum")

    def __setattr__(self, name: str, value: Any) -> None:
        # private: torchmetrics sets them at every update, which nn.Module.__setattr__ makes as long as the sums
        if name in {"_computed", "_update_count"}:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def sums(self) -> Tensor:
        """Sums of losses, of each average and of samples, [2 + averages]."""
        if self._waiting:
            counts, parts = zip(*self._waiting, strict=True)
            self._waiting.clear()
            rows = torch.stack([value for values in parts for value in values]).view(len(counts), -1)
            samples = torch.tensor(counts, dtype=torch.float32).to(rows.device, non_blocking=True)
            sums = self._sums.float()  # bfloat16 counts to 256
            for row in torch.column_stack([rows, samples]):
                sums = sums + row  # one by one: the same bits, however many have waited
            self._sums = sums
        return self._sums

    @sums.setter
    def sums(self, value: Tensor) -> None:
        self._waiting.clear()
        self._sums = value

    def update(self, loss: Tensor, predictions: Any, targets: Any) -> None:
        """Add a batch: its mean loss, a scalar; predictions and targets, [B, ...], or whatever the metrics take."""
        if not (samples := samples_in(targets)):
            return  # a process that has none left
        averages = (average(predictions, targets) for average in self.averages)
        sums = [values.sum() if values.ndim == 1 else values.float().mean() * samples for values in averages]
        self._waiting.append((samples, [loss.detach().float() * samples, *sums]))
        if len(self._waiting) == MOST_WAITING:
            self.sums  # noqa: B018  # adds them
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
    if isinstance(targets, Tensor):
        return targets.shape[0]  # len() takes several times as long
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
