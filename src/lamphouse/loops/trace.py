"""What a training loop computes, recorded batch by batch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from hashlib import blake2b
from statistics import median
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning_utilities import apply_to_collection
from torch import Tensor, nn
from torch.optim import Optimizer

from lamphouse.task import Task

Entry = dict[str, Any]  # by name, in the order in which one follows from another


@dataclass
class Trace:
    """The state before each training batch, as fingerprints, and its loss."""

    model: nn.Module
    entries: list[Entry] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # from one batch to the next
    optimizers: list[Optimizer] = field(default_factory=list)
    steps: int = 0  # of all optimizers
    _recorded: float | None = None

    def __deepcopy__(self, memo: Any) -> "Trace":
        return self  # the only one where a model is copied, for a moving average say

    def follow(self, optimizer: Optimizer) -> None:
        self.optimizers.append(optimizer)
        optimizer.register_step_post_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.steps += 1

    def before_batch(self, model: nn.Module, batch: Any) -> None:
        """Add an entry; the time that this takes does not count."""
        tensors = found_in(batch, Tensor)
        device = tensors[0].device if tensors else torch.device("cpu")
        if device.type != "cpu":
            torch.accelerator.synchronize()
        if self._recorded is not None:
            self.seconds.append(perf_counter() - self._recorded)
        entry: Entry = {"optimizer steps": self.steps}
        entry["learning rate"] = [float(group["lr"]) for one in self.optimizers for group in one.param_groups]
        entry["mode"] = [name for name, module in model.named_modules() if not module.training]
        entry["random numbers"] = [fingerprint(torch.get_rng_state())]
        entry["random numbers"] += [fingerprint(torch.cuda.get_rng_state(device))] if device.type == "cuda" else []
        entry["batch"] = [fingerprint(tensor) for tensor in tensors]
        entry |= {name: fingerprint(tensor) for name, tensor in model.state_dict().items()}
        self.entries.append(entry)
        self._recorded = perf_counter()

    def after_batch(self, output: Any) -> None:
        loss = output["loss"] if isinstance(output, Mapping) else found_in(output, Tensor)[0]
        self.entries[-1]["loss"] = loss.detach()  # stays on the device so as not to wait for it

    def losses(self) -> list[float]:
        return [float(entry["loss"]) for entry in self.entries]

    def seconds_per_step(self) -> float:
        """Return the median time from batch to batch, times the batches of a step."""
        return median(self.seconds or [math.nan]) * len(self.entries) / max(self.steps, 1)


def record(model: nn.Module, optimizer: Optimizer | None = None, method: str | None = None) -> Trace:
    """Record what a loop computes, from here on, while it trains a model.

    Args:
        model: any module; other modules of its class are not touched.
        optimizer: the one that trains it; None for those that its `configure_optimizers` returns.
        method: what a loop calls once for each training batch; None for the `loss` of a `Task`, the `training_step` of
            another LightningModule, and the `forward` of any other module.
    """
    trace = Trace(model)
    if optimizer is not None:
        trace.follow(optimizer)
    elif isinstance(model, LightningModule):
        _wrap(model, "configure_optimizers", partial(_configure, trace))
    if method is None:
        methods = {Task: "loss", LightningModule: "training_step", nn.Module: "forward"}
        method = next(name for cls, name in methods.items() if isinstance(model, cls))
    _wrap(model, method, partial(_train, trace))
    return trace


def _wrap(model: nn.Module, name: str, wrapper: Any) -> None:
    # a partial, which a copy of the model rebinds to itself
    setattr(model, name, update_wrapper(partial(wrapper, model, name), getattr(model, name)))


def _configure(trace: Trace, model: nn.Module, name: str, *args: Any, **kwargs: Any) -> Any:
    configured = getattr(type(model), name)(model, *args, **kwargs)
    for optimizer in found_in(configured, Optimizer):
        trace.follow(optimizer)
    return configured


def _train(trace: Trace, model: nn.Module, name: str, batch: Any, *args: Any, **kwargs: Any) -> Any:
    compute = getattr(type(model), name)
    if not torch.is_grad_enabled():
        return compute(model, batch, *args, **kwargs)
    trace.before_batch(model, batch)
    output = compute(model, batch, *args, **kwargs)
    trace.after_batch(output)
    return output


def found_in(value: Any, kind: type) -> list[Any]:
    """List the objects of a kind in nested mappings and sequences."""
    found: list[Any] = []
    apply_to_collection(value, kind, found.append)
    return found


def fingerprint(tensor: Tensor) -> str:
    """Return a hash of all bits of a tensor."""
    values: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return blake2b(values, digest_size=8).hexdigest()
