"""Metrics of an epoch: the mean loss, averages over samples, and any torchmetrics metrics."""

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_utilities import apply_to_collection
from torch import Tensor, nn
from torchmetrics import Metric

from lamphouse.errors import InputError

Average = Callable[[Any, Any], Tensor]  # of predictions and targets: values for each sample, [B, ...], or their mean


class EpochMetrics(Metric):
    """The mean loss and other metrics of all samples since the last reset, in all processes.

    Sums of loss and averages are one vector on the device: a step is one small update, without synchronization.
    Several values of one of `metrics` are reported as NAME_KEY.
    """

    full_state_update = False
    sums: Tensor  # of losses, of each average and of samples; [2 + averages]
    metrics: Any  # ModuleList of Metric

    def __init__(self, averages: Mapping[str, Average] = {}, metrics: Mapping[str, Metric] = {}) -> None:
        super().__init__()
        self.averages, self.average_names = tuple(averages.values()), ("loss", *averages)
        self.metric_names = tuple(metrics)
        if taken := metrics.keys() & self.average_names:
            raise InputError(f"--model.metrics {min(taken)}: the model has this metric already: choose another name")
        self.metrics = nn.ModuleList(copy.deepcopy(metric) for metric in metrics.values())
        self.add_state("sums", torch.zeros(2 + len(averages)), dist_reduce_fx="sum")

    def update(self, loss: Tensor, predictions: Any, targets: Any) -> None:
        """Add a batch: its mean loss, a scalar; predictions and targets, [B, ...], or whatever the metrics take."""
        samples = len(next(iter(targets.values())) if isinstance(targets, Mapping) else targets)
        averages = (average(predictions, targets) for average in self.averages)
        sums = [values.sum() if values.ndim == 1 else values.float().mean() * samples for values in averages]
        count = torch.full((), samples, dtype=torch.float32, device=loss.device)  # bfloat16 counts to 256
        self.sums = self.sums.float() + torch.stack([loss.detach().float() * samples, *sums, count])
        for metric in self.metrics:
            for name, state in metric.metric_state.items():
                setattr(metric, name, exact(state) if isinstance(state, Tensor) else state)  # bf16-true has cast it
            metric.update(*apply_to_collection((predictions, targets), Tensor, exact))

    def running(self) -> dict[str, Tensor]:
        """Return loss and averages of this process so far; not-a-number before the first batch."""
        return dict(zip(self.average_names, self.sums[:-1] / self.sums[-1], strict=True))

    def compute(self) -> dict[str, Tensor]:
        values = self.running()
        for name, metric in zip(self.metric_names, self.metrics, strict=True):
            values |= flattened(name, metric.compute())
        return values

    def reset(self) -> None:
        with torch.inference_mode(mode=False):  # else a metric validated in that mode could not be updated in another
            super().reset()
            for metric in self.metrics:
                metric.reset()

    @property
    def names(self) -> list[str]:
        """List what `compute` returns, as far as that is known before the first batch."""
        names = list(self.average_names)
        for name, metric in zip(self.metric_names, copy.deepcopy(self.metrics), strict=True):
            try:
                with warnings.catch_warnings(action="ignore"):  # that nothing was measured yet
                    names += flattened(name, metric.compute())
            except (RuntimeError, ValueError, IndexError):  # without any samples it has no value
                names.append(name)
        return names


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
