"""The training loop as Lightning's manual optimization, on top of any model made for the automatic one."""

from contextlib import nullcontext
from typing import Any, cast

from lightning.pytorch import LightningModule
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor
from torch.optim import Optimizer

from lamphouse.errors import InputError
from lamphouse.loops.direct import DirectBatches
from lamphouse.loops.schedule import Schedule, unpacked


def optimize_manually(model: LightningModule, options: Any) -> None:
    """Have a model optimize itself, in place: its class gets `ManualOptimization` in front of it.

    Args:
        model: made for automatic optimization.
        options: the Trainer's; it refuses those of gradients there, so they are moved to the model.

    Raises:
        InputError: the model optimizes itself already, or it overrides what is not called when it does.
    """
    name = type(model).__name__
    if not model.automatic_optimization:
        raise InputError(f"--loop manual: {name} optimizes manually already: use --loop automatic")
    if is_overridden("optimizer_step", model):
        raise InputError(f"--loop manual: {name}.optimizer_step is not called there: use --loop automatic")
    takes_batch_idx: Any = is_param_in_hook_signature(model.training_step, "batch_idx", min_args=2)
    model.__class__ = type(f"Manual{name}", (ManualOptimization, type(model)), {})
    model.automatic_optimization = False
    model.manual_takes_batch_idx = takes_batch_idx
    model.manual_window = options.accumulate_grad_batches
    model.manual_clip, model.manual_clip_algorithm = options.gradient_clip_val, options.gradient_clip_algorithm
    options.accumulate_grad_batches, options.gradient_clip_val = 1, None


class ManualOptimization(LightningModule):
    """Optimization in the model's own training step (mixed in by `optimize_manually`).

    What it adds begins with `manual_`, as Lightning's `manual_backward` does, so that nothing of the model is hidden.
    """

    manual_takes_batch_idx: bool  # or its training step is one of the batch alone
    manual_window: int  # batches to a step
    manual_clip: float | None  # largest norm or value of the gradient
    manual_clip_algorithm: str | None  # "norm", which is also None, or "value"
    manual_schedule: Schedule

    def setup(self, stage: str) -> None:
        """Have the Trainer count steps, by the option that it refuses at the start of a manual run, and save time."""
        super().setup(stage)
        if stage == "fit":
            self.trainer.accumulate_grad_batches = self.manual_window
            self.trainer.fit_loop.epoch_loop.__class__ = DirectBatches

    def teardown(self, stage: str) -> None:
        """Leave the Trainer as it was."""
        self.trainer.accumulate_grad_batches = 1
        self.trainer.fit_loop.epoch_loop.__class__ = _TrainingEpochLoop
        super().teardown(stage)

    @property
    def manual_batches(self) -> DirectBatches:
        """Return the Trainer's loop over batches."""
        return cast("DirectBatches", self.trainer.fit_loop.epoch_loop)

    def configure_optimizers(self, *args: Any, **kwargs: Any) -> Any:
        """Build the optimizer, and keep from the Trainer what it would not do with the schedule."""
        optimizer, self.manual_schedule = unpacked(super().configure_optimizers(*args, **kwargs))
        if self.manual_schedule.scheduler is None:
            return optimizer
        stepped_here = {"scheduler": self.manual_schedule.scheduler, "interval": self.manual_schedule.interval}
        return {"optimizer": optimizer, "lr_scheduler": stepped_here}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Compute the loss and its gradients, and take a step when a window of batches is full.

        Raises:
            InputError: the model's own training step skips the batch.
        """
        numbered = (batch, batch_idx) if self.manual_takes_batch_idx else (batch,)
        output: Any = super().training_step(*numbered)
        if output is None:
            raise InputError("--loop manual: training_step returned None to skip a batch: use --loop automatic")
        loss = output if isinstance(output, Tensor) else output["loss"]
        last = self.trainer.is_last_batch
        full = (batch_idx + 1) % self.manual_window == 0 or last
        self.manual_accumulate(loss / self.manual_window, full)
        if full:
            self.manual_step(batch_idx)
        if last and not self.manual_schedule.on_plateau and self.manual_schedule.due("epoch", self.current_epoch + 1):
            self.lr_scheduler_step(self.manual_schedule.scheduler, None)
        return output

    def manual_accumulate(self, loss: Tensor, full: bool) -> None:
        """Add the gradients of a batch; only those of a full window are averaged over processes."""
        strategy = self.trainer.strategy
        waits = isinstance(strategy, ParallelStrategy) and not full
        with cast("ParallelStrategy", strategy).block_backward_sync() if waits else nullcontext():
            self.manual_batches.backward(loss)

    def manual_step(self, batch_idx: int) -> None:
        """Change the weights by their gradients."""
        optimizer: Any = self.optimizers()
        self.manual_batches.step(optimizer)
        self.on_before_zero_grad(optimizer.optimizer)
        self.optimizer_zero_grad(self.current_epoch, batch_idx, optimizer.optimizer)
        if self.manual_schedule.due("step", batch_idx + 1):
            self.lr_scheduler_step(self.manual_schedule.scheduler, None)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Bound the gradients, which are unscaled here."""
        super().on_before_optimizer_step(optimizer)
        clip, algorithm = self.manual_clip, self.manual_clip_algorithm
        self.configure_gradient_clipping(optimizer, gradient_clip_val=clip, gradient_clip_algorithm=algorithm)

    def on_train_epoch_end(self) -> None:
        """Step a schedule that waits for a plateau, when the epoch's metrics are there."""
        super().on_train_epoch_end()
        if self.manual_schedule.on_plateau and self.manual_schedule.due("epoch", self.current_epoch + 1):
            metric = self.manual_schedule.metric(self.trainer.callback_metrics)
            self.lr_scheduler_step(self.manual_schedule.scheduler, metric)
