"""What a process has besides weights and optimizers: random numbers, metrics and its place in an epoch."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch import Generator, nn
from torchmetrics import Metric, MetricCollection

from lamphouse.errors import InputError


def process_state(module: nn.Module, generators: Sequence[Generator] = ()) -> dict[str, Any]:
    """Copy the states of all random number generators, the user's own too, and of the module's metrics."""
    states = [generator.get_state() for generator in generators]
    return {"random": random_state(), "generators": states, "metrics": metric_states(module)}


def states_for(rank: int, world_size: int, processes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the states, of those of all processes, that one of perhaps another number of processes continues from."""
    own = list(processes[rank::world_size])
    return own or [{**processes[rank % len(processes)], "metrics": {}}]


def set_process_state(
    module: nn.Module,
    state: dict[str, Any],
    generators: Sequence[Generator] = (),
    others: Sequence[dict[str, Any]] = (),
) -> None:
    """Restore what `process_state` copied, and add what the metrics of other processes had accumulated."""
    set_metric_states(module, state["metrics"])
    for other in others:
        add_metric_states(module, other["metrics"])
    for generator, saved in zip(generators, state.get("generators", []), strict=False):
        generator.set_state(saved)
    set_random_state(state["random"])


def random_state() -> dict[str, Any]:
    """Copy the states of the generators of Python, NumPy, torch and the accelerator."""
    version, words, gauss = random.getstate()  # hundreds of words, which one tensor is saved faster than
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  # the generator that libraries draw from
    state = {
        "python": (version, torch.tensor(words, dtype=torch.int64), gauss),
        "numpy": (name, torch.tensor(keys, dtype=torch.int64), *rest),
        "torch": torch.get_rng_state(),
    }
    device = torch.accelerator.current_accelerator(check_available=True)
    return state if device is None else state | {"device": torch.get_device_module(device).get_rng_state()}


def set_random_state(state: dict[str, Any]) -> None:
    """Restore the generators; the accelerator's only if there was one when it was saved, and is one now."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(torch.as_tensor(words).tolist()), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype("uint32"), *rest))  # noqa: NPY002  # as above
    torch.set_rng_state(state["torch"])
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is not None and "device" in state:
        torch.get_device_module(device).set_rng_state(state["device"])


def metric_states(module: nn.Module) -> dict[str, Any]:
    """Copy what the module's metrics have accumulated."""
    for part in module.modules():
        if isinstance(part, MetricCollection):
            part.values(copy_state=False)  # metrics of one compute group share the state that the first has updated
    return {
        name: {"state": part.metric_state, "updates": part._update_count}  # private: it has no public setter
        for name, part in module.named_modules()
        if isinstance(part, Metric)
    }


def set_metric_states(module: nn.Module, states: dict[str, Any]) -> None:
    """Have the module's metrics continue from what they had accumulated."""
    for name, saved in states.items():
        metric: Any = module.get_submodule(name)
        for key, value in saved["state"].items():
            setattr(metric, key, move_data_to_device(value, metric.device))
        metric._update_count = saved["updates"]  # private: as above


def add_metric_states(module: nn.Module, states: dict[str, Any]) -> None:
    """Merge what the module's metrics had accumulated in a process that there is no longer."""
    for name, saved in states.items():
        metric: Any = module.get_submodule(name)
        updates = metric._update_count  # private: as above
        if saved["updates"]:
            metric.merge_state(move_data_to_device(saved["state"], metric.device))
            metric._update_count = updates + saved["updates"]


def train_loaders(trainer: Trainer) -> list[Any]:
    """List the loaders that the Trainer trains from."""
    loaders = trainer.train_dataloader
    return [] if loaders is None else CombinedLoader(loaders).flattened


def loader_generators(trainer: Trainer) -> list[Generator]:
    """List the random number generators that users gave to loaders without a `state_dict`, or to their samplers."""
    loaders = [loader for loader in train_loaders(trainer) if not hasattr(loader, "state_dict")]
    owners = [owner for loader in loaders for owner in (loader, getattr(loader, "sampler", None))]
    generators = [getattr(owner, "generator", None) for owner in owners]
    return [generator for generator in generators if isinstance(generator, Generator)]


def renumber(trainer: Trainer, loaders: Sequence[Any], before: int) -> None:
    """Count the batches of an epoch that another number of processes began so that its last one is the Trainer's last.

    Raises:
        InputError: the position of a loader is that of a number of processes.
    """
    for loader in loaders:
        if not hasattr(loader, "number"):
            name, way_out = type(loader).__name__, f"give --trainer.devices {before}, until the epoch ends"
            raise InputError(
                f"--trainer.devices {trainer.world_size}: {name} is within an epoch of {before}: {way_out}"
            )
    number = min(max(loader.number for loader in loaders), trainer.num_training_batches - 1)
    current: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    current.ready = current.started = current.processed = number
    current.completed = number - 1  # as within `on_train_batch_end`, where checkpoints are written


def end_epoch(loop: dict[str, Any]) -> None:
    """Have the saved state of Lightning's loop say that an epoch is over, or else resuming would omit the next."""
    for progress in loop["epoch_progress"].values():
        progress.update(dict.fromkeys(("ready", "started", "completed"), progress["processed"]))
    batches = loop["epoch_loop.batch_progress"]
    batches["current"] = dict.fromkeys(batches["current"], 0)
    batches["is_last_batch"] = False
    loop["state_dict"].pop("combined_loader", None)


def before_validation(loop: dict[str, Any]) -> None:
    """Have the saved state of Lightning's loop say that its last validation is yet to come; resuming counts it."""
    for count in ("total", "current"):
        loop["epoch_loop.batch_progress"][count]["completed"] -= 1
    validated = loop["epoch_loop.val_loop.batch_progress"]
    for name, batches in validated["current"].items():
        validated["total"][name] -= batches
    validated["current"] = dict.fromkeys(validated["current"], 0)


def has_position(trainer: Trainer) -> bool:
    """Return whether a checkpoint can hold this position in an epoch."""
    resumable = all(hasattr(loader, "load_state_dict") for loader in train_loaders(trainer))
    return resumable and not trainer.is_last_batch
