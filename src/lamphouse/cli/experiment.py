"""An experiment: model, data and trainer, put together by LightningCLI from what was chosen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from lamphouse.callbacks import EMA, EpochProgress, StopNotFinite, Throughput
from lamphouse.callbacks.finite import FiniteCheck
from lamphouse.callbacks.throughput import NoProfiler
from lamphouse.checkpoints.files import WholeCheckpointIO
from lamphouse.checkpoints.signals import StopSignals
from lamphouse.cli.checks import check_monitor, check_name
from lamphouse.cli.configuration import LINKED, Configuration
from lamphouse.cli.parser import reason
from lamphouse.data import ImageDataModule
from lamphouse.errors import InputError
from lamphouse.loggers import place
from lamphouse.loggers.table import MetricsTable
from lamphouse.machine.settings import default_channels_last, default_precision, device_type
from lamphouse.task import Task
from arc_light.loops.manual import optimize_manually


class Experiment(Configuration):
    """The parsed and instantiated experiment, ready to run; see `Configuration` for its arguments.

    Raises:
        InputError: an option or a file is wrong, or model and data contradict each other.
    """

    def before_instantiate_classes(self) -> None:
        """Fill in what follows from the rest, and put everything that writes into the run's directory."""
        self.fit_to_machine()
        self.given = {name: self.config.model.init_args.get(name) for name in LINKED}
        if self.config.data.init_args.get("seed", 0) is None:
            self.config.data.init_args.seed = self.config.seed_everything
        self.config.experiment = self.config.experiment or self.default_name()
        check_name(self.config.experiment)
        if self.where is None:
            self.config.trainer.logger = False
            return
        self.run = self.where(self.config)
        self.config.best_checkpoint.dirpath = self.config.last_checkpoint.dirpath = str(self.run.path)
        for logger in as_list(self.config.trainer.logger):
            place(logger, self.run, self.config.experiment)
        if isinstance(self.config.trainer.profiler, Namespace):
            self.config.trainer.profiler.init_args.dirpath = str(self.run.path)

    def fit_to_machine(self) -> None:
        """Choose precision and memory format where they are left to the machine."""
        config = self.config
        self.device = device_type(config.trainer.accelerator)
        if config.trainer.precision is None and not config.trainer.plugins:  # one of which may be a precision
            config.trainer.precision = default_precision(self.device)
        if config.model.init_args.get("channels_last", False) is None:
            config.model.init_args.channels_last = default_channels_last(self.device)

    def instantiate_classes(self) -> None:
        """Instantiate, and make what the data says part of the configuration."""
        try:
            super().instantiate_classes()
            self.config_init.machine.prepare(self.device)
        except (ImportError, MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
            raise InputError(" ".join(reason(error).split())) from error
        for name, given in self.given.items():
            value = getattr(self.datamodule, name, None)
            if given is not None and value is not None and plain(given) != plain(value):
                way_out = "leave the option out, it comes from the data"
                raise InputError(f"--model.{name} {plain(given)}: the data has {plain(value)}: {way_out}")
            self.config.model.init_args[name] = plain(value)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add what every run has: speed, progress and its own table of metrics."""
        config = self.config_init.trainer
        self.plugins = as_list(config.plugins)
        self.finite = FiniteCheck(self.config.check_finite or config.detect_anomaly)
        callbacks: list[Callback] = [Throughput(), StopNotFinite(self.finite)]
        if self.config.ema is not None:
            callbacks.append(EMA(self.config.ema))
        if config.enable_progress_bar is not False:
            callbacks.append(EpochProgress())
        config.callbacks = [*as_list(config.callbacks), *callbacks]
        config.profiler = config.profiler or NoProfiler()
        if self.where is not None:
            self.table = MetricsTable(self.run.metrics)
            config.logger = [*as_list(config.logger), self.table]
            config.default_root_dir = str(self.run.path)
            if not any(isinstance(plugin, CheckpointIO) for plugin in self.plugins):
                config.plugins = [*self.plugins, WholeCheckpointIO()]
        # [part:loops]
        if self.config.loop == "manual":
            optimize_manually(self.model, config)
        # [/part:loops]
        return super().instantiate_trainer(**kwargs)

    @property
    def signals(self) -> StopSignals:
        """Hear the signals that ask the run to stop."""
        signals: StopSignals = self.config_init.last_checkpoint.signals
        return signals

    @property
    def complete(self) -> bool:
        """Say whether nothing is left but the test."""
        return bool(self.config_init.last_checkpoint.complete)

    def only_test(self) -> None:
        """Leave out the training, which is complete."""
        self.config_init.last_checkpoint.complete = True

    def load_data(self) -> None:
        """Read the data, which shows what is wrong with it before a run is made.

        Raises:
            InputError: a file is missing or damaged.
        """
        if is_first_process():
            self.datamodule.prepare_data()
            for stage in ("fit", "test"):
                self.datamodule.setup(stage)

    def check(self) -> None:
        """Try what is otherwise found out within the run only.

        Raises:
            InputError: the optimizer, its schedule or an augmentation refuses its options, or a monitored metric is
                none of the model's.
        """
        if isinstance(self.datamodule, ImageDataModule) and is_first_process():
            self.check_size(self.datamodule.check_augmentations())
        if isinstance(self.model, Task):
            self.model.check_optimizer(self.trainer.strategy.root_device)
            for name in ("early_stopping", "best_checkpoint"):
                check_monitor(name, self.config[name].monitor, self.model.metric_names)

    def check_size(self, image: Tensor) -> None:
        """Try the model on a training image, [1, C, H, W], if augmentations have changed its size.

        Raises:
            InputError: the model does not take images of that size.
        """
        shape, training = list(image.shape[1:]), [part for part in self.model.modules() if part.training]
        if shape == list(self.datamodule.input_shape) or not isinstance(self.model, Task):
            return  # a model of the user's own need not have a forward
        try:
            with torch.inference_mode():
                self.model.eval()(image)
        except (RuntimeError, ValueError) as error:
            no_size = f"the model takes no images of {' by '.join(map(str, shape[1:]))} pixels"
            raise InputError(f"--data.augment: {no_size}: leave out what changes their size") from error
        finally:
            for part in training:
                part.training = True

    def check_weights(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Load weights, only to see that they fit.

        Raises:
            InputError: they are those of another model.
        """
        try:
            self.model.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise InputError(f"{path}: does not fit the run's model: use one of the run's own checkpoints") from error


def is_first_process() -> bool:
    """Tell whether this process writes; in a run of one it does."""
    return getattr(rank_zero_only, "rank", 0) == 0


def as_list(value: Any) -> list[Any]:
    """Put one or several loggers or callbacks, or none, into a list."""
    return value if isinstance(value, list) else [value] if value not in (None, True, False) else []


def plain(value: Any) -> Any:
    """Turn tuples into lists, as YAML has them."""
    return list(value) if isinstance(value, Sequence) else value
