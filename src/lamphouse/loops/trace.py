"""What a training loop computes, recorded batch by batch."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from hashlib import blake2b
from statistics import median
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning_utilities import apply_to_collection
from torch import Generator, Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lamphouse.checkpoints.state import random_state
from lamphouse.task import Task

WIDE = {False: torch.float64, True: torch.complex128}
Entry = dict[str, Any]  # by name, in the order in which one follows from another


@dataclass
class Trace:
    """What a training computes, as fingerprints: the state before each batch, its loss and gradients, evaluations."""

    model: nn.Module
    entries: list[Entry] = field(default_factory=list)  # of training batches
    evaluations: list[Entry] = field(default_factory=list)  # the test belongs to the last
    seconds: list[float] = field(default_factory=list)  # from one batch to the next
    optimizers: list[Optimizer] = field(default_factory=list)
    steps: int = 0  # of all optimizers
    _recorded: float | None = None

    def __deepcopy__(self, memo: Any) -> "Trace":
        return self  # the only one where a model is copied, for a moving average say

    def follow(self, optimizer: Optimizer) -> None:
        self.optimizers.append(optimizer)
        optimizer.register_step_post_hook(self._after_step)

    def before_batch(self, model: nn.Module, batch: Any) -> None:
        """Add an entry; the time that recording takes does not count."""
        tensors = found_in(batch, Tensor)
        device = tensors[0].device if tensors else torch.device("cpu")
        if device.type != "cpu":
            torch.accelerator.synchronize()
        if self._recorded is not None:
            self.seconds.append(perf_counter() - self._recorded)
        entry: Entry = {"optimizer steps": self.steps}
        entry["learning rate"] = [float(group["lr"]) for one in self.optimizers for group in one.param_groups]
        entry["mode"] = [name for name, module in model.named_modules() if not module.training]
        entry["requires_grad"] = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
        entry["random numbers"] = [fingerprint(random_state()), *map(fingerprint, _generators(model))]
        entry["batch"] = [fingerprint(tensor) for tensor in tensors]
        entry["state"] = _state(model)
        self.entries.append(entry)
        self._recorded = perf_counter()

    def after_batch(self, model: nn.Module, batch: Any, output: Any) -> None:
        with self._not_timed():
            losses = found_in(output.get("loss") if isinstance(output, Mapping) else output, Tensor)[:1]
            entry = self.entries[-1]
            entry["batch afterwards"] = [fingerprint(tensor) for tensor in found_in(batch, Tensor)]
            for loss in losses:
                entry["loss"] = loss.detach()  # stays on the device so as not to wait for it
                if loss.requires_grad:
                    loss.register_hook(partial(self._at_backward, model, entry))

    def before_evaluation(self, model: nn.Module) -> None:
        """Add an evaluation, unless nothing was trained since the last one."""
        done = len(self.entries)
        if not self.evaluations or self.evaluations[-1]["after"] < done:
            with self._not_timed():
                self.evaluations.append({"after": done, "steps": self.steps, "state": _state(model), "batches": []})
        self.evaluations[-1]["batches"].append(0)

    def evaluated_batch(self, model: nn.Module) -> None:
        if self.evaluations:
            evaluation = self.evaluations[-1]
            if evaluation["batches"] == [0]:
                evaluation["state"] = _state(model)  # EMA has put the averages into the model by now
                evaluation["mode"] = [name for name, module in model.named_modules() if module.training]
            evaluation["batches"][-1] += 1

    def losses(self) -> list[float]:
        return [float(entry.get("loss", math.nan)) for entry in self.entries]

    def seconds_per_step(self) -> float:
        """Return the median time from batch to batch, times the batches of a step."""
        return median(self.seconds or [math.nan]) * len(self.entries) / max(self.steps, 1)

    def _at_backward(self, model: nn.Module, entry: Entry, factor: Tensor) -> None:
        with self._not_timed():
            entry["factor of the loss"] = fingerprint(factor)
            entry["old gradients"] = {name: one for name, (one, _) in _gradients(model).items()}

    def _after_step(self, *_: Any) -> None:
        self.steps += 1
        if self.entries:
            with self._not_timed():
                self.entries[-1].setdefault("gradients", []).append(_gradients(self.model))

    @contextmanager
    def _not_timed(self) -> Iterator[None]:
        start = perf_counter()
        yield
        if self._recorded is not None:
            self._recorded += perf_counter() - start


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
    _wrap(model, method or _step_of(model), partial(_train, trace))
    _wrap(model, "eval", partial(_evaluate, trace))
    return trace


def _step_of(model: nn.Module) -> str:
    # a class that a loop derives names the model's own, and its method that calls the model's own training_step
    own: Any = (type(model), "training_step")
    cls, step = getattr(model, "derived_from", own)
    if issubclass(cls, Task) and cls.training_step is Task.training_step:
        return "loss"
    return str(step) if issubclass(cls, LightningModule) else "forward"


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
        trace.evaluated_batch(model)
        return compute(model, batch, *args, **kwargs)
    trace.before_batch(model, batch)
    output = compute(model, batch, *args, **kwargs)
    trace.after_batch(model, batch, output)
    return output


def _evaluate(trace: Trace, model: nn.Module, name: str) -> Any:
    trace.before_evaluation(model)
    return getattr(type(model), name)(model)


def _state(model: nn.Module) -> dict[str, str]:
    """Take fingerprints of parameters and buffers, also of those that are not saved."""
    tensors = {**model.state_dict(), **dict(model.named_buffers())}
    return {name: fingerprint(value) for name, value in tensors.items()}


def _gradients(model: nn.Module) -> dict[str, tuple[str, float]]:
    """Take the fingerprint and the norm of each gradient that is not zero."""
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            gradient = _dense(parameter.grad)
            norm = float(torch.linalg.vector_norm(gradient, dtype=WIDE[gradient.is_complex()]))
            if norm != 0:
                found[name] = fingerprint(gradient), norm
    return found


def _generators(model: nn.Module) -> list[Tensor]:
    owned = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Generator)]
    return [generator.get_state() for generator in owned]


def found_in(value: Any, kind: type) -> list[Any]:
    """List the objects of a kind in nested mappings and sequences."""
    found: list[Any] = []
    apply_to_collection(value, kind, found.append)
    return found


def fingerprint(value: Any) -> str:
    """Return a hash of all bits of a tensor, or of another value with the tensors in it."""
    if not isinstance(value, Tensor):
        return _hash(repr(apply_to_collection(value, Tensor, fingerprint)).encode())
    return "uninitialized" if is_lazy(value) else _hash(_dense(value).reshape(-1).view(torch.uint8).numpy())


def _dense(tensor: Tensor) -> Tensor:
    on_cpu = tensor.detach().cpu()
    strided = on_cpu if on_cpu.layout == torch.strided else on_cpu.to_dense()
    return strided.resolve_conj().resolve_neg().contiguous()


def _hash(data: Any) -> str:
    return blake2b(data, digest_size=8).hexdigest()
