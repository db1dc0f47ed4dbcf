"""The training loop as Lightning's manual optimization, for any model made for the automatic one."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch.optim import Optimizer

from lamphouse.errors import unsupported
from lamphouse.loops import LRSchedule, optimizer_and_schedule


def optimize_manually(
    model_class: type[LightningModule],
    accumulate_grad_batches: int = 1,
    gradient_clip_val: float | None = None,
    gradient_clip_algorithm: str | None = None,
) -> type[LightningModule]:
    """Derive a class that optimizes manually; a Trainer must not be given the three options, which it would reject.

    Args:
        model_class: made for automatic optimization.
        accumulate_grad_batches: number of batches whose gradients make one step.
        gradient_clip_val: maximum norm or value of the gradients; None does not clip them.
        gradient_clip_algorithm: "norm", which is also None, or "value".
    """
    clipping = {"gradient_clip_val": gradient_clip_val, "gradient_clip_algorithm": gradient_clip_algorithm}
    options = {"manual_batches": accumulate_grad_batches, "manual_clipping": clipping}
    options["derived_from"] = model_class, "manual_loss"  # where parity finds the model's own training step
    return type(f"Manual{model_class.__name__}", (ManualOptimization, model_class), options)


class ManualOptimization(LightningModule):
    """Takes the optimization steps in `training_step`; the names of its own attributes begin with `manual_`."""

    manual_batches: int  # whose gradients make one step
    manual_clipping: Mapping[str, Any]
    manual_schedule: LRSchedule

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.automatic_optimization:
            name = type(self).__mro__[2].__name__
            raise unsupported(f"--loop manual: {name} optimizes manually")
        self.automatic_optimization = False

    def setup(self, stage: str) -> None:
        """Have the Trainer count optimizer steps, on which schedules depend."""
        super().setup(stage)
        self.trainer.accumulate_grad_batches = self.manual_batches

    def teardown(self, stage: str) -> None:
        """Restore the only value that the Trainer accepts at the start of manual optimization."""
        self.trainer.accumulate_grad_batches = 1
        super().teardown(stage)

    def configure_optimizers(self, *args: Any) -> Any:
        """Build the optimizer and its schedule, which is stepped below."""
        optimizer, self.manual_schedule = optimizer_and_schedule(super().configure_optimizers, *args)
        scheduler, interval = self.manual_schedule.scheduler, self.manual_schedule.interval
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Compute the gradients of a batch, and take a step after every `manual_batches` batches."""
        optimizer: Any = self.optimizers()
        full = (batch_idx + 1) % self.manual_batches == 0 or self.trainer.is_last_batch
        outputs: list[Any] = []

        @torch.enable_grad()
        def closure() -> Any:  # which an optimizer such as LBFGS calls several times
            outputs.append(self.manual_loss(batch, batch_idx))
            if batch_idx % self.manual_batches == 0:
                self.on_before_zero_grad(optimizer)
                self.optimizer_zero_grad(self.current_epoch, batch_idx, optimizer)
            loss = outputs[-1]["loss"] if isinstance(outputs[-1], Mapping) else outputs[-1]
            if loss is None:
                return None
            with optimizer.toggle_model(sync_grad=full):  # processes average the gradients of a step once
                self.manual_backward(loss / self.manual_batches)
            return loss.detach() / self.manual_batches

        if full:
            self.optimizer_step(self.current_epoch, batch_idx, optimizer, closure)
            if self.manual_schedule.due("step", batch_idx + 1):
                self.lr_scheduler_step(self.manual_schedule.scheduler, None)
        else:
            closure()
        return outputs[-1] if outputs else None

    def manual_loss(self, batch: Any, batch_idx: int) -> Any:
        """Run the model's own training step."""
        step = super().training_step
        return step(batch, batch_idx) if is_param_in_hook_signature(step, "batch_idx", min_args=2) else step(batch)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradients, which are unscaled by now."""
        super().on_before_optimizer_step(optimizer)
        self.configure_gradient_clipping(optimizer, **self.manual_clipping)

    def on_train_epoch_end(self) -> None:
        """Step a schedule that steps once an epoch."""
        super().on_train_epoch_end()
        if self.manual_schedule.due("epoch", self.current_epoch + 1):
            metric = self.manual_schedule.metric(self.trainer.callback_metrics)
            self.lr_scheduler_step(self.manual_schedule.scheduler, metric)
