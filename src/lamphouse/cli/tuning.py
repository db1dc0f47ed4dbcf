"""Find the largest batch size that fits into memory, and the learning rate at which the loss falls fastest."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.memory import garbage_collection_cuda
from torch import Tensor

from lamphouse.cli.checks.messages import first_plain_message
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.data import TensorDataModule
from lamphouse.errors import InputError
from lamphouse.machine.memory import advice, only_available_memory, out_of_memory
from lamphouse.runs.directory import Run

Method = Literal["fit", "validate"]
QUIET = (
    "--trainer.devices=1",
    "--trainer.fast_dev_run=false",
    "--trainer.enable_progress_bar=false",
    "--logger=none",
    "--loop=automatic",
    "--check_finite=false",
)
FEW_BATCHES = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=3")
LARGEST = {"cpu": 1024}  # batch size to try: a CPU is not faster with a larger one
LARGEST_ELSEWHERE = 8192
LOWEST_LR, HIGHEST_LR, STEPS = 1e-6, 10.0, 100
DECAY = 0.98  # of the moving average of the loss
FIRST_STEPS = 10  # whose loss is too noisy to be looked at
MEMORY = "--trainer.precision bf16-mixed takes less memory, too"


@contextmanager
def advising_batch_size(experiment: Experiment, method: Method = "fit") -> Iterator[None]:
    """Where memory does not suffice, find the batch size that fits and name it.

    Raises:
        InputError: memory does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # which hold what fills the memory
    else:
        return
    size = getattr(experiment.datamodule, "batch_size", None)
    experiment.model.cpu()
    garbage_collection_cuda()
    if size is None or experiment.trainer.world_size > 1:
        raise InputError(f"out of memory: use smaller batches; {MEMORY}")
    largest = largest_batch_size(experiment.project, experiment.args, method, size)
    raise InputError(f"{advice(size, largest)}; {MEMORY}")


def largest_batch_size(project: Project, args: Sequence[str], method: Method = "fit", below: int | None = None) -> int:
    """Try batch sizes of 2, 4, 8 and so on, up to the first that does not fit into memory.

    Args:
        project: the experiment's.
        args: the experiment's.
        method: what to try them with.
        below: a size that does not fit; None tries up to a limit.

    Returns:
        The largest power of two that fits; 0 if not even 1 does.

    Raises:
        InputError: the data has no batch size.
    """
    with temporary(project, args) as experiment:
        data = experiment.datamodule
        if not hasattr(data, "batch_size"):
            raise InputError(f"--data {type(data).__name__}: no batch_size to find: add the option")
        most = LARGEST.get(experiment.device, LARGEST_ELSEWHERE)
        if method == "fit" and isinstance(data, TensorDataModule):
            most = min(most, len(data.parts["train"]))
    sizes = [2**power for power in range(1, most.bit_length()) if 2**power <= most and (below or most + 1) > 2**power]
    fitting = list(takewhile(lambda size: fits(project, args, method, size), sizes))
    return fitting[-1] if fitting else int(fits(project, args, method, 1))


def fits(project: Project, args: Sequence[str], method: Method, size: int) -> bool:
    """Try a few batches of a size."""
    with temporary(project, [*args, *FEW_BATCHES, f"--data.batch_size={size}"]) as experiment, only_available_memory():
        try:
            run = experiment.trainer.fit if method == "fit" else experiment.trainer.validate
            run(experiment.model, datamodule=experiment.datamodule)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)
            return False
        finally:
            experiment.model.cpu()
            garbage_collection_cuda()
    return True


class Curve(NamedTuple):
    """Learning rates, and the training loss with each, averaged over the steps until then."""

    lr: Tensor
    loss: Tensor

    @property
    def steepest(self) -> float:
        """The rate at which the loss falls fastest, by the logarithm of the rate."""
        slope = torch.gradient(self.loss, spacing=(self.lr.log(),))[0][FIRST_STEPS:-1]
        return float(self.lr[FIRST_STEPS:-1][slope.argmin()])


class LearningRateRange(Callback):
    """Raise the learning rate from step to step and note the loss (Smith 2017, arXiv:1506.01186, section 3.3)."""

    def __init__(self) -> None:
        self.lr: list[float] = []
        self.loss: list[float] = []
        self.average = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the rate of the step that the batch is part of."""
        lr = LOWEST_LR * (HIGHEST_LR / LOWEST_LR) ** (trainer.global_step / STEPS)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = lr

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the rate and the averaged loss; stop when the loss explodes."""
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        self.average = DECAY * self.average + (1 - DECAY) * loss
        self.lr.append(LOWEST_LR * (HIGHEST_LR / LOWEST_LR) ** (trainer.global_step / STEPS))
        self.loss.append(self.average / (1 - DECAY ** (len(self.loss) + 1)))  # as if there was no zero before
        trainer.should_stop = self.loss[-1] > 4 * min(self.loss)


def loss_by_lr(project: Project, args: Sequence[str]) -> Curve:
    """Train a little with a rising learning rate.

    Raises:
        InputError: the loss is not finite from the first steps on.
    """
    endless = ["--trainer.max_epochs=-1", f"--trainer.max_steps={STEPS}", f"--early_stopping.patience={STEPS}"]
    with temporary(project, [*args, *endless]) as experiment, advising_batch_size(experiment):
        callback = LearningRateRange()
        experiment.trainer.callbacks.insert(0, callback)  # type: ignore[attr-defined]  # set by a connector
        experiment.trainer.fit(experiment.model, datamodule=experiment.datamodule)
    lr, loss = (torch.tensor(values, dtype=torch.float64) for values in (callback.lr, callback.loss))
    curve = Curve(lr[loss.isfinite()], loss[loss.isfinite()])
    if len(curve.lr) < FIRST_STEPS + 3:
        way_out = "check the data and the loss"
        raise InputError(f"no learning rate from {LOWEST_LR} to {HIGHEST_LR} lets the loss fall: {way_out}")
    return curve


@contextmanager
def temporary(project: Project, args: Sequence[str]) -> Iterator[Experiment]:
    """Put together an experiment that leaves nothing behind."""
    with TemporaryDirectory() as folder:
        experiment = Experiment(project, "tune", [*args, *QUIET], where=lambda _: Run(Path(folder)))
        experiment.load_data()
        try:
            yield experiment
        except MisconfigurationException as error:
            raise InputError(first_plain_message(error)) from error
        except SystemExit as stop:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from stop
