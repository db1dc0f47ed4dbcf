"""Fine-tuning: the weights of an earlier run, layers that are frozen at first, and a learning rate of their own."""

import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from lamphouse.checkpoints import load_weights
from lamphouse.errors import InputError, short_path
from lamphouse.files import user_path
from lamphouse.runs.directory import find_runs

MOST_NAMES = 4  # in a line


@torch.no_grad()
def take_fitting(module: nn.Module, source: str) -> str:
    """Copy the weights that a module has under the same name and in the same shape, and say in a line which ones.

    Args:
        module: whose weights change; those of a file may lack the first part of its names, "network.".
        source: directory of a run, or of several, of which the newest is used; a checkpoint; or a file of weights.

    Raises:
        InputError: there is no such run or file, it holds no weights, or none of them fits.
    """
    path = _find(source)
    try:
        there = load_weights(path)
    except InputError as error:
        raise InputError(f"--model.init_from {error}") from error
    named = {f"network.{name}": tensor for name, tensor in there.items()} | there
    own = {name: tensor for name, tensor in module.state_dict().items() if isinstance(tensor, Tensor)}
    if any(hasattr(tensor, "device_mesh") for tensor in own.values()):
        raise InputError(f"--model.init_from {source}: the weights are sharded already: call model.initialize() first")
    fitting = [name for name, tensor in own.items() if name in named and named[name].shape == tensor.shape]
    if not any(own[name].ndim > 1 for name in fitting):  # counts and biases alone may fit by chance
        way_out = "give a run of the same network, whose sizes may differ in a few layers only"
        raise InputError(f"--model.init_from {short_path(path)}: no weights fit the model by name and shape: {way_out}")
    for name in fitting:
        own[name].copy_(named[name])
    left = [name for name in own if name not in fitting]
    unused = len(there) - len(fitting)
    text = f"init_from   {len(fitting)} of {len(own)} tensors from {short_path(path)}"
    text += f"; as initialized: {_listed(left)}" if left else ""
    return text + (f"; {unused} of its own left out" if unused else "")


def _find(source: str) -> Path:
    path = user_path(source)
    if not path.exists():
        raise InputError(f"--model.init_from {source}: no such run or file: give a run's directory, or a checkpoint")
    try:
        if not path.is_dir() or path.suffix == ".ckpt":  # a checkpoint may be sharded
            return path
        runs = find_runs(path)[::-1]
        return next((run.best for run in runs if run.best.exists()), runs[0].best)  # the newest may be this one itself
    except InputError as error:
        raise InputError(f"--model.init_from {error}") from error


def _listed(names: Collection[str]) -> str:
    some = ", ".join(list(names)[:MOST_NAMES])
    return some + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def backbone_of(network: nn.Module, head: nn.Module) -> list[nn.Parameter]:
    """List the parameters of a network that do not belong to its head."""
    kept = {id(parameter) for parameter in head.parameters()}
    return [parameter for parameter in network.parameters() if id(parameter) not in kept]


class Freeze:
    """Keeps all layers of a network but its head from changing, in evaluation mode: BatchNorm keeps its statistics."""

    def __init__(self) -> None:
        self.parameters: list[nn.Parameter] = []
        self.modules: list[nn.Module] = []

    def begin(self, network: nn.Module, head: nn.Module) -> None:
        """Freeze what is trained and does not belong to the head."""
        self.end()
        self.parameters = [parameter for parameter in backbone_of(network, head) if parameter.requires_grad]
        around = {module for module in network.modules() if any(one is head for one in module.modules())}
        self.modules = [one for one in network.modules() if one.training and one not in {*around, *head.modules()}]
        self._set(trained=False)

    def end(self) -> None:
        """Unfreeze what was frozen."""
        self._set(trained=True)
        self.parameters, self.modules = [], []

    def _set(self, trained: bool) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(trained)
        for module in self.modules:
            module.training = trained


def check_strategy(strategy: Any, epochs: int) -> None:
    """Raise an InputError if layers are to be frozen for some epochs, but processes wait for their gradients."""
    # private: DistributedDataParallel waits for every parameter that was trained at the beginning
    finds_unused = getattr(strategy, "_ddp_kwargs", {}).get("find_unused_parameters")
    if epochs and isinstance(strategy, ParallelStrategy) and not finds_unused:
        way_out = "give --trainer.strategy ddp_find_unused_parameters_true"
        raise InputError(f"--model.freeze_epochs {epochs}: processes wait for gradients of frozen layers: {way_out}")


def scale_lr(optimizer: Optimizer, parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Multiply the learning rate of the groups of some parameters; raise an InputError if others are among them."""
    chosen = {id(parameter) for parameter in parameters}
    for group in optimizer.param_groups:
        among = {id(parameter) in chosen for parameter in group["params"]}
        if len(among) > 1:
            reason = f"{type(optimizer).__name__} makes its own groups of parameters"
            raise InputError(f"--model.backbone_lr_factor {factor}: {reason}: choose another optimizer")
        if among == {True}:
            group["lr"] = group["lr"] * factor


def check_ratios(before: Iterable[Any], optimizer: Optimizer, factor: float) -> None:
    """Raise an InputError if a schedule has set the learning rates of groups without regard to what they were."""
    rates = [(float(old), float(group["lr"])) for old, group in zip(before, optimizer.param_groups, strict=True)]
    first_old, first_new = rates[0]
    if not all(math.isclose(new * first_old, old * first_new, rel_tol=1e-6) for old, new in rates):
        reason = "the schedule sets one learning rate for all parameters"
        raise InputError(f"--model.backbone_lr_factor {factor}: {reason}: choose another, such as OneCycle")
