"""What every image classifier shares: one step, its metrics and its optimizer."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from inspect import signature
from typing import Any, Literal

import torch
from jsonargparse.typing import ClosedUnitInterval
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

from lamphouse.metrics import LossAndAccuracy
from lamphouse.optim import Schedule, built, parameter_groups, scheduled, try_out

Batch = tuple[Tensor, Tensor]  # images, float [B, C, H, W]; labels, int64 [B]
OptimizerCallable = Callable[[Iterable[Any]], Optimizer]
CompileMode = Literal["default", "reduce-overhead", "max-autotune"]
LRSchedulerCallable = Callable[[Optimizer], Schedule]
FEWEST_LAST = 8  # channels; with fewer innermost, torch 2.15's AVX2 convolutions write beyond their memory


class Classifier(LightningModule):
    """A network that tells classes of images apart (abstract): a subclass builds `network` from its own options.

    Args:
        input_shape: channels, height and width of an image; linked to the data on the command line.
        num_classes: number of classes; linked to the data on the command line.
        optimizer: builds the optimizer from parameter groups; one-dimensional parameters have no weight decay.
        lr_scheduler: builds the schedule, or None for a constant rate.
        label_smoothing: part of the target that is spread over all classes, 0..1 (arXiv:1512.00567, section 7).
        channels_last: keep images and weights with the channels innermost, which suits convolutions, unless one has
            fewer than 8 channels; on the command line, null leaves it to the machine.
        test_time_flip: outside training, average the logits of an image and of its mirror image.
        compile: compile the network in place with torch.compile, True or one of its modes; "reduce-overhead" replays
            CUDA graphs, which small networks gain from most.
    """

    network: nn.Module

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        optimizer: OptimizerCallable = lambda groups: SGD(groups, lr=0.01),
        lr_scheduler: LRSchedulerCallable | None = None,
        label_smoothing: ClosedUnitInterval = 0.0,
        channels_last: bool | None = False,
        test_time_flip: bool = False,
        compile: bool | CompileMode = False,
    ) -> None:
        super().__init__()
        # functions do not belong into a checkpoint, and loggers get the whole configuration elsewhere
        self.save_hyperparameters(ignore=["optimizer", "lr_scheduler"], logger=False)
        self.input_shape, self.num_classes = input_shape, num_classes
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.label_smoothing = label_smoothing
        self.channels_last, self.test_time_flip, self.compile_network = channels_last, test_time_flip, compile
        self.train_metrics, self.val_metrics, self.test_metrics = (LossAndAccuracy() for _ in range(3))

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the one that Lightning sets twice at every hook is not looked for among the parameters."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @cached_property
    def memory_format(self) -> torch.memory_format:
        """Choose where channels are: innermost, if that is asked for and no convolution has too few of them."""
        channels = [layer.out_channels for layer in self.network.modules() if isinstance(layer, nn.Conv2d)]
        innermost = self.channels_last and min(channels, default=FEWEST_LAST) >= FEWEST_LAST
        return torch.channels_last if innermost else torch.contiguous_format

    def setup(self, stage: str) -> None:
        """Lay out and compile the network, once it is on its device."""
        if self.memory_format == torch.channels_last:
            self.network.to(memory_format=torch.channels_last)
        if self.compile_network:
            mode = None if self.compile_network is True else self.compile_network
            self.network.compile(mode=mode)  # in place: the checkpoint's keys keep their names

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images, float [B, C, H, W], to logits, [B, num_classes]."""
        mirror = self.test_time_flip and not self.training
        if mirror:
            images = torch.cat([images, images.flip(-1)])  # at once, for a CUDA graph overwrites its last output
        logits: Tensor = self.network(images.to(self.dtype).contiguous(memory_format=self.memory_format))
        return logits.unflatten(0, (2, -1)).mean(0) if mirror else logits

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the mean cross-entropy of a batch, the one step of every loop, and its logits, [B, num_classes]."""
        images, labels = batch
        logits = self(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing), logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss and count it."""
        return self._counted(self.train_metrics, batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count loss and accuracy."""
        self._counted(self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count loss and accuracy."""
        self._counted(self.test_metrics, batch)

    # Lightning asks for them at every batch, and would make them anew
    training_step.__signature__ = signature(training_step)  # type: ignore[attr-defined]  # which inspect looks for
    validation_step.__signature__ = signature(validation_step)  # type: ignore[attr-defined]  # likewise
    test_step.__signature__ = signature(test_step)  # type: ignore[attr-defined]  # likewise

    def _counted(self, metrics: LossAndAccuracy, batch: Batch) -> Tensor:
        loss, logits = self.loss(batch)
        metrics.update(loss, logits, batch[1])
        return loss

    def on_train_epoch_end(self) -> None:
        """Report the epoch's training loss and accuracy."""
        self._report("train", self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        """Report validation loss and accuracy."""
        self._report("val", self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Report test loss and accuracy."""
        self._report("test", self.test_metrics)

    def _report(self, part: str, metrics: LossAndAccuracy) -> None:
        self.log_dict({f"{part}/{name}": value for name, value in metrics.compute().items()})
        metrics.reset()

    @property
    def metric_names(self) -> list[str]:
        """Name what a validation reports and callbacks can monitor."""
        return [f"val/{name}" for name in self.val_metrics.names]

    def check(self, device: torch.device | str = "cpu") -> None:
        """Try the optimizer and its schedule, on a parameter of no use.

        Args:
            device: where the model will be.

        Raises:
            InputError: one of them refuses its options.
        """
        try_out(self.optimizer, self.configure_optimizers, device)

    def configure_optimizers(self, total_steps: int | None = None) -> OptimizerLRScheduler:
        """Build the optimizer and its schedule.

        Args:
            total_steps: optimizer steps of the whole run; None asks the Trainer.

        Raises:
            InputError: the optimizer or the schedule refuses its options.
        """
        optimizer: Optimizer = built("optimizer", self.optimizer, parameter_groups(self))
        if self.lr_scheduler is None:
            return optimizer
        return scheduled(optimizer, self.lr_scheduler, lambda: total_steps or self.trainer.estimated_stepping_batches)
