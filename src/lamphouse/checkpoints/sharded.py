"""Shards weights and optimizer states over all devices, and writes whole checkpoints, which are directories."""

from collections.abc import Iterator, Mapping, Sequence
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn
from torch.optim import Optimizer

from lamphouse.checkpoints.files import load_checkpoint, make_room, place_directory
from lamphouse.checkpoints.shards import INDEX_SUM, sum_of_index
from lamphouse.errors import InputError
from lamphouse.files import remove, temporary_path

NO_FORWARD = (nn.ModuleList, nn.ModuleDict)


class FullyShardedStrategy(ModelParallelStrategy):
    """Shards weights, gradients and optimizer states over all devices, and writes checkpoints whole or not at all.

    A LightningModule without a `configure_model` of its own has torch's `fully_shard` (FSDP2) applied to each of its
    modules, and to each layer in their `nn.Sequential` and `nn.ModuleList`; weights must be contiguous. Buffers are
    those of the first process after each step, as with DDP.

    A checkpoint is a directory of shards, which all processes write under another name, and the first one then renames.
    `load_checkpoint` reads it as if one process had written it. With another number of devices, it is sharded anew.

    Raises:
        InputError: the LightningModule has a parameter that is in none of its modules.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1)
        self._restored: Path | None = None

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes  # private: "auto" means one device a node
        super().setup_environment()
        module = self.lightning_module
        if module is not None and not is_overridden("configure_model", module):
            module.configure_model = partial(shard, module, self.device_mesh)  # type: ignore[method-assign]

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        output = super().training_step(*args, **kwargs)
        for buffer in self.lightning_module.buffers() if self.world_size > 1 and self.lightning_module else ():
            dist.broadcast(buffer, 0)
        return output

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Collect the state; before the first step there is none, and torch counts a step of zeros as the first."""
        stepped = bool(optimizer.state)
        state = super().optimizer_state(optimizer)
        if not stepped:
            optimizer.state.clear()
        return state

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        from torch.distributed.checkpoint.api import CheckpointException  # noqa: PLC0415  # slow to import

        if self.is_global_zero:
            make_room(Path(filepath))
        path, new = self.broadcast((Path(filepath), temporary_path(Path(filepath))))
        try:
            super().save_checkpoint(checkpoint, new, storage_options)
            if self.is_global_zero:
                (new / INDEX_SUM).write_text(sum_of_index(new), encoding="ascii")
                place_directory(new, path)
            self.barrier()
        except CheckpointException as error:  # which is no Exception; a full disk, say
            cause = next(iter(error.failures.values()))[0]
            if isinstance(cause, RuntimeError):  # behind which torch hides that the disk is full, say
                cause = OSError(ENOSPC, f"not written ({str(cause).splitlines()[0]})", str(path))
            raise cause from error
        finally:
            if self.is_global_zero:
                remove(new)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read what is no tensor; `load_model_state_dict` reads the tensors, once the model has been sharded."""
        self._restored = Path(self.broadcast(checkpoint_path))
        return load_checkpoint(self._restored, weights=False)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        if self.model is None or self._restored is None:
            return
        if self._restored.is_dir():
            super().load_checkpoint(self._restored, weights_only=True)
        else:
            distribute(checkpoint, self.model, self.optimizers, strict)
        for optimizer in self.optimizers if checkpoint["global_step"] == 0 else ():
            optimizer.state.clear()


def distribute(checkpoint: Mapping[str, Any], model: nn.Module, optimizers: Sequence[Optimizer], strict: bool) -> None:
    """Load the weights and optimizer states of a file, which every process has read, into a sharded model."""
    from torch.distributed.checkpoint import state_dict as states  # noqa: PLC0415  # slow to import

    options = states.StateDictOptions(full_state_dict=True, strict=strict)
    states.set_model_state_dict(model, checkpoint["state_dict"], options=options)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer, state in zip(optimizers, checkpoint["optimizer_states"], strict=False):
        given = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
        groups = [{**group, "params": [given[number] for number in group["params"]]} for group in state["param_groups"]]
        named: Any = {
            "state": {given[number]: value for number, value in state["state"].items()},
            "param_groups": groups,
        }
        states.set_optimizer_state_dict(model, optimizer, named, options=options)


def shard(module: LightningModule, mesh: Any) -> None:
    """Shard all parameters of a module, once; each part is gathered when it computes."""
    from torch.distributed.fsdp import FSDPModule, fully_shard  # noqa: PLC0415  # takes a third of a second

    for part in parts(module):
        if any(True for _ in part.parameters()) and not isinstance(part, FSDPModule):
            fully_shard(part, mesh=mesh["data_parallel"], reshard_after_forward=True)  # after a validation, too
    whole = [name for name, _ in module.named_parameters(recurse=False)]
    if whole:
        way_out = "put it into a module, or define configure_model"
        raise InputError(f"--trainer.strategy: {type(module).__name__}.{whole[0]} is in no module: {way_out}")


def parts(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules in a LightningModule, each after the layers in its outermost lists."""
    for part in module.children():
        if isinstance(part, NO_FORWARD):
            yield from parts(part)
        else:
            yield from layers(part)
            yield part


def layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers in a module's outermost lists."""
    for part in module.children():
        if isinstance(module, (*NO_FORWARD, nn.Sequential)) and not isinstance(part, NO_FORWARD):
            yield part
        else:
            yield from layers(part)
