"""Find the largest batch size that fits into memory, and the learning rate at which the loss falls fastest."""

import io
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.tuner.tuning import Tuner
from lightning.pytorch.utilities.memory import garbage_collection_cuda

from lamphouse.cli.checks.messages import first_plain_message
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.data import TensorDataModule
from lamphouse.errors import InputError, StoppedError
from lamphouse.machine.memory import advice, only_available_memory, out_of_memory
from lamphouse.runs.directory import Run

QUIET = (
    *("--trainer.devices=1", "--trainer.fast_dev_run=false", "--trainer.enable_progress_bar=false"),
    *("--logger=none", "--loop=automatic", "--check_finite=false"),
)
FEW_BATCHES = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=3")
LARGEST = {"cpu": 1024}  # batch size to try: a CPU is not faster with a larger one
LARGEST_ELSEWHERE = 8192
LOWEST_LR, HIGHEST_LR, STEPS = 1e-6, 10.0, 100
FIRST_STEPS = 10  # whose loss is too noisy to be looked at
MEMORY = "--trainer.precision bf16-mixed takes less memory, too"


@contextmanager
def advising_batch_size(experiment: Experiment) -> Iterator[None]:
    """Where memory does not suffice, find the batch size that fits and raise an `InputError` that names it."""
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
    largest = largest_batch_size(experiment.project, experiment.args, size)
    raise InputError(f"{advice(size, largest)}; {MEMORY}")


def largest_batch_size(project: Project, args: Sequence[str], below: int | None = None) -> int:
    """Return the largest power of two that fits into memory as batch size, or 0; `below` is known not to fit."""
    with _temporary(project, args) as experiment:
        data, most = experiment.datamodule, LARGEST.get(experiment.device, LARGEST_ELSEWHERE)
        if not hasattr(data, "batch_size"):
            raise InputError(f"--data {type(data).__name__}: no batch_size to find: add the option")
        if isinstance(data, TensorDataModule):
            most = min(most, len(data.parts["train"]))
    most = min(most, below - 1) if below else most
    size = 2
    while size <= most and _fits(project, args, size):
        size *= 2
    return size // 2 if size > 2 else int(_fits(project, args, 1))


def _fits(project: Project, args: Sequence[str], size: int) -> bool:
    options, unheard = [*args, *FEW_BATCHES, f"--data.batch_size={size}"], io.StringIO()  # notes about a size to try
    with redirect_stderr(unheard), _temporary(project, options) as experiment, only_available_memory():
        try:
            experiment.trainer.fit(experiment.model, datamodule=experiment.datamodule)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)
            return False
        finally:
            experiment.model.cpu()
            garbage_collection_cuda()
    return True


def find_lr(project: Project, args: Sequence[str]) -> tuple[float, Any]:
    """Return the rate at which the loss falls fastest (Smith 2017, arXiv:1506.01186, 3.3), and Lightning's finder."""
    endless = ["--trainer.max_epochs=-1", f"--trainer.max_steps={STEPS}"]
    options: Any = {"min_lr": LOWEST_LR, "max_lr": HIGHEST_LR, "num_training": STEPS, "update_attr": False}
    bar = nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())  # for which there is no option
    with _temporary(project, [*args, *endless]) as experiment, bar, advising_batch_size(experiment):
        finder: Any = Tuner(experiment.trainer).lr_find(experiment.model, datamodule=experiment.datamodule, **options)
    lrs, losses = (torch.tensor(finder.results[name], dtype=torch.float64) for name in ("lr", "loss"))
    lrs, losses = lrs[losses.isfinite()], losses[losses.isfinite()]
    if len(lrs) < FIRST_STEPS + 3:
        way_out = "check the data and the loss"
        raise InputError(f"no learning rate from {LOWEST_LR} to {HIGHEST_LR} decreases the loss: {way_out}")
    slopes = torch.gradient(losses, spacing=(lrs.log(),))[0][FIRST_STEPS:-1]
    return float(lrs[FIRST_STEPS:-1][slopes.argmin()]), finder


@contextmanager
def _temporary(project: Project, args: Sequence[str]) -> Iterator[Experiment]:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # a finder that fails restores its checkpoint before the callbacks
        warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`, callbacks")
        experiment = Experiment(project, "tune", [*args, *QUIET], where=lambda _: Run(Path(folder)))
        experiment.load_data()
        experiment.model.freeze_epochs = 0  # the whole network has to fit, and to be trained
        try:
            yield experiment
        except MisconfigurationException as error:
            raise InputError(first_plain_message(error)) from error
        except (StoppedError, SystemExit) as stop:  # the second is Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from stop
