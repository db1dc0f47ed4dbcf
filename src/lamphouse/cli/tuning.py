"""How large a batch may be, and which learning rate to try first, by Lightning's finders."""

import io
import math
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.tuner.tuning import Tuner
from lightning.pytorch.utilities.memory import garbage_collection_cuda
from torch import Tensor

from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.data import TensorDataModule
from lamphouse.errors import InputError
from lamphouse.machine.memory import advice, only_available_memory, out_of_memory
from lamphouse.runs.directory import Run

Method = Literal["fit", "validate"]
ALONE = (
    "--trainer.devices=1",
    "--trainer.fast_dev_run=false",
    "--trainer.logger=false",
    "--trainer.enable_progress_bar=false",
    "--loop=automatic",  # [part:loops]
)
LARGEST = {"cpu": 1024}  # batch that is tried; on a CPU a larger one is not faster, and elsewhere
LARGEST_ELSEWHERE = 8192  # is the finder's own limit
LR_RANGE = (1e-6, 10.0, 100)  # from, to, in so many steps
DECAY = 0.98  # of the average of losses that the finder looks at
MEMORY = "--trainer.precision bf16-mixed takes less memory, too"


@contextmanager
def advising_batch_size(experiment: Experiment, method: Method = "fit") -> Iterator[None]:
    """Find the batch size that fits into memory, when the experiment's own has turned out not to.

    Raises:
        InputError: it has.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what fills the memory
    else:
        return
    size = getattr(experiment.datamodule, "batch_size", None)
    experiment.model.cpu()
    garbage_collection_cuda()
    if size is None or experiment.trainer.world_size > 1:
        raise InputError(f"out of memory: use smaller batches; {MEMORY}")
    raise InputError(f"{advice(size, largest_batch_size(experiment.project, experiment.args, method, size))}; {MEMORY}")


def largest_batch_size(project: Project, args: Sequence[str], method: Method = "fit", below: int | None = None) -> int:
    """Try batches of 2, 4, 8 and so on images, up to the first that does not fit.

    Args:
        project: of the experiment.
        args: of the experiment.
        method: what is tried with each of them.
        below: a size that did not fit; None tries up to a limit.

    Returns:
        The largest that fits, which may be none, 0.

    Raises:
        InputError: it has no batch size.
    """
    with temporary(project, args) as experiment, only_available_memory():
        trainer, data = experiment.trainer, experiment.datamodule
        if not hasattr(data, "batch_size"):
            raise InputError(f"--data {type(data).__name__}: no batch_size to find: add the option")
        limits = [below, LARGEST.get(trainer.strategy.root_device.type, LARGEST_ELSEWHERE) + 1]
        if method == "fit" and isinstance(data, TensorDataModule):
            limits.append(len(data.parts["train"]))
        limit = max(min(filter(None, limits)), 3)  # is not tried itself, but 2 is
        understood(trainer.fit_loop if method == "fit" else trainer.validate_loop)
        tuner = Tuner(trainer)
        try:
            size = tuner.scale_batch_size(experiment.model, datamodule=data, method=method, max_val=limit) or 0
        except (ArithmeticError, ValueError):  # of loaders
            if data.batch_size > 0:
                raise
            size = 0  # a single image does not fit
    return size if size < limit else size // 2  # the finder returns its limit untried


class Curve(NamedTuple):
    """Learning rates, and the training loss with each, averaged over the steps until then."""

    lr: Tensor
    loss: Tensor

    @property
    def steepest(self) -> float:
        """Return the rate at which the loss falls fastest for its logarithm; the first steps are mere noise."""
        slope = torch.gradient(self.loss, spacing=(self.lr.log(),))[0][10:-1]
        return float(self.lr[10:-1][slope.argmin()])


def loss_by_lr(project: Project, args: Sequence[str]) -> Curve:
    """Train a little with a rate that grows from step to step (Smith 2017, arXiv:1506.01186, section 3.3).

    Args:
        project: of the experiment.
        args: of the experiment.

    Raises:
        InputError: the loss is not finite from the first steps on.
    """
    low, high, steps = LR_RANGE
    options: dict[str, Any] = {"min_lr": low, "max_lr": high, "num_training": steps, "update_attr": False}
    endless = ["--trainer.max_epochs=-1", f"--trainer.max_steps={steps}"]
    with temporary(project, [*args, *endless]) as experiment, bar_on_a_terminal(), advising_batch_size(experiment):
        tuner = Tuner(experiment.trainer)
        finder: Any = tuner.lr_find(experiment.model, datamodule=experiment.datamodule, **options)
    lr, loss = (torch.tensor(finder.results[name], dtype=torch.float64) for name in ("lr", "loss"))
    curve = Curve(lr, unbiased(lr, loss) * experiment.trainer.accumulate_grad_batches)  # it is of parts of a step
    curve = Curve(*(values[curve.loss.isfinite()] for values in curve))
    if len(curve.lr) < 13:
        raise InputError(f"no learning rate from {low} to {high} lets the loss fall: check the data and the loss")
    return curve


def unbiased(lr: Tensor, loss: Tensor) -> Tensor:
    """Have the finder's moving average begin with the first loss; it weighs it as if there had been another before.

    Args:
        lr: of each step that was noted, which those at the end of an epoch with accumulation are not.
        loss: the finder's average until then.
    """
    low, high, steps = LR_RANGE
    growths = (steps * (lr / low).log() / math.log(high / low)).round()
    taken = (growths - 1).clamp(min=0)  # steps before; with the second the rate has grown twice
    return loss * (1 - DECAY ** (taken + 2)) / (1 - DECAY ** torch.arange(1, len(lr) + 1, dtype=lr.dtype))


@contextmanager
def temporary(project: Project, args: Sequence[str]) -> Iterator[Experiment]:
    """Put together an experiment that leaves nothing behind."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # a finder that fails brings its checkpoint back before the callbacks
        warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`, callbacks")
        experiment = Experiment(project, "tune", [*args, *ALONE], where=lambda _: Run(Path(folder)))
        experiment.load_data()
        try:
            yield experiment
        except MisconfigurationException as error:
            raise InputError(" ".join(str(error).split())) from error
        except SystemExit as stop:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from stop


def understood(loop: Any) -> None:
    """Have a loop say that there was not enough memory in the words that the finder knows, whatever the device."""
    run = loop.run

    def translated() -> Any:
        try:
            return run()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)
        raise RuntimeError("CUDA out of memory")

    loop.run = translated


def bar_on_a_terminal() -> AbstractContextManager[Any]:
    """Keep the finder's bar from a file; it has no option for that."""
    return nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
