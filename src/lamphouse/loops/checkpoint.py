"""The hand-written loop's state in the form of Lightning's checkpoints."""

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor

from lamphouse.checkpoints.state import process_state, set_process_state
from lamphouse.loops.watch import Watch
from arc_light.loops.handwritten import Training

AVERAGED = "module."  # what AveragedModel puts before the names of its model's tensors


def checkpoint_of(training: Training, data: LightningDataModule) -> dict[str, Any]:
    """Gather what Lightning loads, and what the hand-written loop needs to continue."""
    training.check.settle()
    schedule = training.schedule.scheduler
    return {
        "epoch": training.epoch,
        "batch": training.batch,
        "global_step": training.step,
        "lr": training.lr,
        "pytorch-lightning_version": lightning.__version__,
        **_weights(training),
        "optimizer_states": [training.optimizer.state_dict()],
        "lr_schedulers": [schedule.state_dict()] if schedule else [],
        "scaler": training.scaler.state_dict(),
        "stopping": _state(training.stopping),
        "keeping": _state(training.keeping),
        "processes": [process_state(training.model)],
        "finished": training.finished,
        **_hyper_parameters(training.model),
        **_hyper_parameters(data),
    }


def continue_from(training: Training, checkpoint: Mapping[str, Any], best: Mapping[str, Tensor]) -> None:
    """Continue where a checkpoint of `checkpoint_of` was written, with the weights that were the best until then."""
    training.epoch, training.batch, training.step = (checkpoint[name] for name in ("epoch", "batch", "global_step"))
    training.best, training.lr = best, checkpoint["lr"]
    training.model.load_state_dict(checkpoint.get("current_model_state", checkpoint["state_dict"]))
    if training.average:
        averaged = {AVERAGED + name: value for name, value in checkpoint["state_dict"].items()}
        training.average.load_state_dict(averaged | checkpoint["averaging_state"])
    training.optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    for state in checkpoint["lr_schedulers"]:
        training.schedule.scheduler.load_state_dict(state)
    training.scaler.load_state_dict(checkpoint["scaler"])
    for watch, name in ((training.stopping, "stopping"), (training.keeping, "keeping")):
        watch.best, watch.waited = torch.tensor(checkpoint[name]["best"]), checkpoint[name]["waited"]
    (process,) = checkpoint["processes"]
    set_process_state(training.model, process)


def _weights(training: Training) -> dict[str, Any]:
    """Put an average where Lightning puts it, in the place of the weights that are trained."""
    weights = training.model.state_dict()
    if not training.average:
        return {"state_dict": weights}
    state = training.average.state_dict()
    return {
        "state_dict": {name.removeprefix(AVERAGED): v for name, v in state.items() if name.startswith(AVERAGED)},
        "averaging_state": {name: value for name, value in state.items() if not name.startswith(AVERAGED)},
        "current_model_state": weights,
    }


def _state(watch: Watch) -> dict[str, Any]:
    return {"best": float(watch.best), "waited": watch.waited}


def _hyper_parameters(module: LightningModule | LightningDataModule) -> dict[str, Any]:
    """Name the class and its options, from which Lightning builds it anew."""
    if not module.hparams:
        return {}
    name: Any = getattr(module, "_hparams_name", None)
    named = {module.CHECKPOINT_HYPER_PARAMS_NAME: name} if name else {}
    return {module.CHECKPOINT_HYPER_PARAMS_KEY: dict(module.hparams), **named}
