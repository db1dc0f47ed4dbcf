"""Say what several processes do together."""

import sys
from math import ceil
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.checkpoints.state import train_loaders
from lamphouse.optim.schedules import RunLengthLR
from lamphouse.runs.report import unit


class GlobalBatch(Callback):
    """Says, where several processes train, how many samples they take a step, and that the learning rate is not scaled.

    Where a run goes on with another number of processes, it says what that changes. If a step takes another number of
    samples, a schedule that knows the length of the run keeps its place.
    """

    def __init__(self) -> None:
        self.processes = self.samples = 0  # the second: of a step of all processes; 0 if that is not known
        self._before: dict[str, int] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        size, self.processes = batch_size(trainer), trainer.world_size
        self.samples = size * trainer.world_size * trainer.accumulate_grad_batches
        if trainer.world_size > 1:
            self._print_step(trainer, size)
        before = self._before.get("samples")
        if self._before.get("processes", trainer.world_size) != trainer.world_size:
            self._print_change(trainer, size)
        if before and self.samples not in {0, before} and trainer.max_steps == -1:
            for config in trainer.lr_scheduler_configs:
                if isinstance(config.scheduler, RunLengthLR):
                    config.scheduler.last_epoch = round(config.scheduler.last_epoch * before / self.samples)
        self._before = {}

    @rank_zero_only
    def _print_step(self, trainer: Trainer, size: int) -> None:
        accumulated = trainer.accumulate_grad_batches
        terms = f" x {accumulated} accumulated" if accumulated > 1 else ""
        samples = unit(trainer.datamodule) if trainer.datamodule else "samples"  # type: ignore[attr-defined]  # set late
        product = f" x batch {size}{terms} = {self.samples:,} {samples} a step" if size else ""
        steps = trainer.num_training_batches
        count = f", {ceil(steps / accumulated):,} steps an epoch" if steps != float("inf") else ""
        rates = dict.fromkeys(
            group.get("initial_lr", group["lr"]) for o in trainer.optimizers for group in o.param_groups
        )
        lr = ", ".join(f"{float(rate):g}" for rate in rates)
        print(f"{trainer.world_size} processes{product}{count}; lr {lr} is used as given, not scaled", flush=True)

    @rank_zero_only
    def _print_change(self, trainer: Trainer, size: int) -> None:
        now, before, had = trainer.world_size, self._before["processes"], self._before["samples"]
        change = f"{now} process{'es' * (now > 1)} instead of {before}"
        if not (had and size):
            step = "other batches from here on"
        elif self.samples == had:
            step = f"{had:,} samples a step as before"
        else:
            each, rest = divmod(had, now * trainer.accumulate_grad_batches)
            way_out = "" if rest else f" (--data.batch_size {each} keeps them)"
            step = f"{self.samples:,} samples a step instead of {had:,}{way_out}, so other steps and learning rates"
        exact = "each sample of the epoch is used once; batch normalization and dropout differ"
        print(f"note: {change}, {step}: {exact}", file=sys.stderr, flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {"processes": self.processes, "samples": self.samples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict


def batch_size(trainer: Trainer) -> int:
    """Return the number of samples in a batch of each process; 0 if that is not known."""
    sizes = set()
    for loader in train_loaders(trainer):
        owners = (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
        sizes.add(next(filter(None, (getattr(owner, "batch_size", None) for owner in owners)), 0))
    return sizes.pop() if len(sizes) == 1 else 0
