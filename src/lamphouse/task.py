"""The abstract LightningModule: optimizer, schedule, metrics, memory format and compilation from options."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from inspect import isfunction
from typing import Any, ClassVar, Literal

import torch
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from lightning_utilities import apply_to_collection
from PIL import Image
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torchmetrics import Metric

from lamphouse.data.batches import loss_of_none, weighted
from lamphouse.errors import InputError
from lamphouse.finetuning import Freeze, backbone_of, check_ratios, check_strategy, scale_lr, take_fitting
from lamphouse.metrics import Average, EpochMetrics, OfLoss, samples_in
from lamphouse.monitoring import Mode, chosen_mode
from lamphouse.optim import ReduceLROnPlateau, Schedule, call_option, optimizer_with_schedule, parameter_groups
from lamphouse.overhead import LeanModule

MIN_CHANNELS_LAST = 8  # with fewer channels innermost, torch 2.15's AVX2 convolutions write beyond their memory


class Task(LeanModule, ABC):
    """What is trained, and by which loss (abstract): a subclass sets `network` and defines `loss`.

    Args:
        optimizer: builds the optimizer from parameter groups; one-dimensional parameters get no weight decay.
        lr_scheduler: builds the learning-rate schedule; None keeps the rate constant.
        l1: factor of the sum of the absolute weights, those with a weight decay, that is added to the loss in training;
            a weight decay of SGD penalizes half the sum of their squares instead.
        metrics: further torchmetrics metrics by name, reported as train/NAME, val/NAME and test/NAME.
        channels_last: keep images and weights in channels-last format, which suits convolutions, unless a convolution
            has fewer than 8 channels; on the command line, null leaves the choice to the machine.
        compile: compile the network in place with torch.compile, True or one of its modes; "reduce-overhead" replays
            CUDA graphs, which small networks gain from most.
        init_from: begin with the weights that fit by name and shape of an earlier run, of a checkpoint, or of a file of
            weights, such as torchvision's; resuming and evaluating do not need it.
        freeze_epochs: train the head alone for so many epochs, with all other layers in evaluation mode.
        backbone_lr_factor: learning rate of all layers but the head, as a multiple of the optimizer's.
    """

    network: nn.Module
    last_predictions: Any  # of the last batch, detached: callbacks need no second forward pass
    averages: ClassVar[Mapping[str, Average]] = {}  # reported beside the loss: functions of predictions and targets
    of_loss: ClassVar[Mapping[str, OfLoss]] = {}  # reported too: increasing functions of the mean loss

    def __init__(
        self,
        optimizer: Callable[[Iterable[Any]], Optimizer] = lambda groups: SGD(groups, lr=0.01),
        lr_scheduler: Callable[[Optimizer], Schedule] | None = None,
        l1: NonNegativeFloat = 0.0,
        metrics: dict[str, Metric] | None = None,
        channels_last: bool | None = False,
        compile: bool | Literal["default", "reduce-overhead", "max-autotune"] = False,
        init_from: str | None = None,
        freeze_epochs: NonNegativeInt = 0,
        backbone_lr_factor: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__()
        # a checkpoint holds plain types only, and loggers get the whole configuration from the command line
        self.save_hyperparameters(ignore=["optimizer", "lr_scheduler", "metrics"], logger=False)
        self.optimizer, self.lr_scheduler, self.l1 = optimizer, lr_scheduler, l1
        self.channels_last, self.compile_network = channels_last, compile
        self.init_from, self.freeze_epochs, self.backbone_lr_factor = init_from, freeze_epochs, backbone_lr_factor
        self._freeze = Freeze()
        self.train_metrics = EpochMetrics(self.averages, metrics or {}, self.of_loss)
        self.val_metrics = EpochMetrics(self.averages, metrics or {}, self.of_loss)
        self.test_metrics = EpochMetrics(self.averages, metrics or {}, self.of_loss)

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, Any]:
        """Compute the mean loss of a batch, and the predictions that the metrics take: the one step of every loop."""

    def respond(self, given: str, data: Any) -> str:
        """Answer a text in `predict`, for models that take no files of samples; further arguments become options."""
        raise NotImplementedError

    def targets(self, batch: Any) -> Any:
        """Return what the metrics compare predictions with; by default the second part of (inputs, targets, ...)."""
        return batch if isinstance(batch, Tensor) else batch[1]

    def pictures(self, values: Tensor) -> Sequence[Image.Image] | None:
        """Draw outputs of the network, [B, ...], or targets, one picture each; None, the default, if they are none."""
        return None

    def step(self, part: Literal["train", "val", "test"], batch: Any) -> Tensor:
        """Compute the loss of a batch, and update the metrics of a part of the data."""
        samples = samples_in(self.targets(batch))
        loss, predictions = self.loss(batch) if samples else loss_of_none(self.loss, batch)
        getattr(self, f"{part}_metrics").update(loss, predictions, self.targets(batch))
        self.last_predictions = apply_to_collection(predictions, Tensor, Tensor.detach)
        if self.compile_network:  # CUDA graphs write there again
            self.last_predictions = apply_to_collection(self.last_predictions, Tensor, Tensor.clone)
        loss = weighted(loss, samples, self._trainer) if part == "train" else loss
        if part == "train" and self.l1:
            loss = loss + self.l1 * sum(p.abs().sum() for p in self.parameters() if p.requires_grad and p.ndim > 1)
        return loss

    @property
    def head(self) -> nn.Module:
        """The layer that makes the outputs: the last of the network that has parameters, unless a subclass differs."""
        return [layer for layer in self.network.modules() if [*layer.parameters(recurse=False)]][-1]

    def initialize(self, strategy: Any = None) -> None:
        """Take the weights of `init_from`, once, and say which; raise an InputError if a strategy cannot freeze."""
        check_strategy(strategy, self.freeze_epochs)
        source, self.init_from = self.init_from, None
        if source is not None:
            rank_zero_only(print)(take_fitting(self, source))

    def freeze_backbone(self, epoch: int) -> None:
        """Freeze all but the head before the first `freeze_epochs` epochs, and unfreeze it before the one after."""
        self._freeze.end()
        if epoch < self.freeze_epochs:
            self._freeze.begin(self.network, self.head)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self.init_from = None  # what is restored counts
        return super().load_state_dict(*args, **kwargs)

    def on_fit_start(self) -> None:
        self.initialize(self.trainer.strategy)

    def on_train_start(self) -> None:
        self.freeze_backbone(self.current_epoch)

    on_train_epoch_start = on_train_start

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.step("train", batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.step("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.step("test", batch)

    def on_train_epoch_end(self) -> None:
        self._log_metrics("train")

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _log_metrics(self, part: str) -> None:
        metrics = getattr(self, f"{part}_metrics")
        self.log_dict({f"{part}/{name}": value for name, value in metrics.compute().items()})
        metrics.reset()

    @property
    def metric_names(self) -> list[str]:
        """List the metrics of each epoch, which callbacks can monitor."""
        return [f"{part}/{name}" for part in ("val", "train") for name in self.val_metrics.names]

    @property
    def logs_more(self) -> bool:
        """Whether a subclass may log other metrics, for it has hooks or steps of its own, or calls `log`."""
        classes = [cls for cls in type(self).__mro__ if issubclass(cls, Task) and cls is not Task]
        functions = [value for cls in classes for value in vars(cls).values() if isfunction(value)]
        names = {name for function in functions for name in (function.__name__, *function.__code__.co_names)}
        return any(name in {"log", "log_dict"} or name.startswith("on_") or name.endswith("_step") for name in names)

    def metric_mode(self, name: str) -> Mode | None:
        """Return which value of a metric is the best; None if that is not known."""
        return self.val_metrics.mode(name.partition("/")[2] or name) if name else None

    @cached_property
    def memory_format(self) -> torch.memory_format:
        """Choose channels-last if it was asked for, and every convolution has enough channels for it."""
        channels = [layer.out_channels for layer in self.network.modules() if isinstance(layer, nn.Conv2d)]
        suits = min(channels, default=0) >= MIN_CHANNELS_LAST
        return torch.channels_last if self.channels_last and suits else torch.contiguous_format

    def setup(self, stage: str) -> None:
        if self.memory_format == torch.channels_last:
            self.network.to(memory_format=torch.channels_last)
        if self.compile_network:  # in place: keys of checkpoints keep their names
            self.network.compile(mode=None if self.compile_network is True else self.compile_network)

    def forward(self, inputs: Tensor) -> Any:
        """Apply the network to a batch of inputs, [B, ...], converted to its data type and memory format."""
        inputs = inputs.to(self.dtype) if inputs.is_floating_point() else inputs
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=self.memory_format)
        return self.network(inputs)

    def configure_optimizers(self, total_steps: int | None = None) -> OptimizerLRScheduler:
        """Build the optimizer and its schedule for a run of `total_steps`; None asks the Trainer."""
        self._freeze.end()
        backbone = backbone_of(self.network, self.head) if self.backbone_lr_factor != 1 else []
        optimizer: Optimizer = call_option("optimizer", self.optimizer, parameter_groups(self, backbone))
        scale_lr(optimizer, backbone, self.backbone_lr_factor)
        if self.lr_scheduler is None:
            return optimizer
        rates = [group["lr"] for group in optimizer.param_groups]
        steps = lambda: total_steps or self.trainer.estimated_stepping_batches  # noqa: E731  # asked only if needed
        configured = optimizer_with_schedule(optimizer, self.lr_scheduler, steps)
        if backbone:
            check_ratios(rates, optimizer, self.backbone_lr_factor)
        schedule: Any = configured["lr_scheduler"]
        if isinstance(scheduler := schedule["scheduler"], ReduceLROnPlateau):
            scheduler.set_mode(chosen_mode("model.lr_scheduler", scheduler.monitor, scheduler.given_mode, self))
            if not total_steps and scheduler.monitor.startswith("val/"):
                if not self.trainer.enable_validation:
                    way_out = "monitor a metric of train/, or choose another schedule"
                    raise InputError(f"--model.lr_scheduler.monitor {scheduler.monitor}: no validation: {way_out}")
                epochs = self.trainer.check_val_every_n_epoch  # None: a validation may come in any epoch
                schedule |= {"frequency": epochs or 1, "strict": epochs is not None}
        return configured

    def check_size(self, image: Tensor, usual: Sequence[int]) -> None:
        """Raise an InputError if an augmented image, [1, C, H, W], has an unusual shape that the model rejects."""
        shape = list(image.shape[1:])
        try:
            if shape != list(usual):
                with torch.inference_mode():
                    copy.deepcopy(self).eval()(image)
        except (RuntimeError, ValueError) as error:
            no_size = f"the model takes no images of {' by '.join(map(str, shape[1:]))} pixels"
            raise InputError(f"--data.augment: {no_size}: leave out what changes their size") from error

    def check_optimizer(self, device: torch.device | str = "cpu") -> None:
        """Raise an InputError if the optimizer or its schedule rejects its options; the model does not change."""
        parameter = nn.Parameter(torch.zeros(2, 2, device=device))
        parameter.grad = torch.ones_like(parameter)
        call_option("optimizer", call_option("optimizer", self.optimizer, [{"params": [parameter]}]).step)
        if not parameter.isfinite().all():
            raise InputError("--model.optimizer: its first step leads to an overflow: lower its learning rate")
        configured: Any = Task.configure_optimizers(self, total_steps=1)  # which a subclass need not call
        if not isinstance(configured, dict):
            return
        optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
        optimizer.step()
        call_option("lr_scheduler", scheduler.step, *([0.0] if isinstance(scheduler, ReduceLROnPlateau) else []))
        if not 0 <= (lr := min(float(group["lr"]) for group in optimizer.param_groups)) < float("inf"):
            raise InputError(f"--model.lr_scheduler: it leads to a learning rate of {lr}; see --help for its options")
