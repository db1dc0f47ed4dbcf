"""An experiment: model, data and Trainer, instantiated from the options."""

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import _InstantiatorFn  # private: has a module know the options that it was made with
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from lamphouse.callbacks import EMA, EpochProgress, FiniteCheck, NoProfiler, StopNotFinite, Throughput
from lamphouse.checkpoints.files import WholeCheckpointIO
from lamphouse.cli.checks.messages import first_plain_message
from lamphouse.cli.checks.options import check_options, monitor_rules
from lamphouse.cli.configuration import LINKED, Configuration
from lamphouse.data import ImageDataModule
from lamphouse.errors import InputError
from lamphouse.loggers import MetricsTable, make_logger
from lamphouse.machine.settings import default_channels_last, default_precision, device_type
from lamphouse.task import Task


class Experiment(Configuration):
    """The parsed and instantiated experiment, ready to run; see `Configuration` for its arguments."""

    def before_instantiate_classes(self) -> None:
        config, self.device = self.config, device_type(self.config.trainer.accelerator)
        if config.trainer.precision is None and not config.trainer.plugins:  # one of which may be a precision
            config.trainer.precision = default_precision(self.device)
        if config.get("model.init_args.channels_last", False) is None:
            config.model.init_args.channels_last = default_channels_last(self.device)
        if config.get("data.init_args.seed", 0) is None:
            config.data.init_args.seed = config.seed_everything
        self.given = {name: config.get(f"model.init_args.{name}") for name in LINKED}
        if self.where is not None:
            self.run = self.where(config)
            config.best_checkpoint.dirpath = config.last_checkpoint.dirpath = str(self.run.path)
            if isinstance(config.trainer.profiler, Namespace):
                config.trainer.profiler.init_args.dirpath = str(self.run.path)
        self.parser.add_instantiator(self.instantiate_model, LightningModule)

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
            self.config_init.machine.prepare(self.device)
        except (ImportError, MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
            raise InputError(first_plain_message(error)) from error

    def instantiate_model(
        self, model_class: type[LightningModule], *args: Any, applied_instantiation_links: dict[str, Any], **kwargs: Any
    ) -> LightningModule:
        """Instantiate the model, and record in the configuration what it got from the data."""
        if model_class.__name__ != self.config.model.class_path.rpartition(".")[2]:
            return model_class(*args, **kwargs)  # one among the model's options
        links = {key: value for key, value in applied_instantiation_links.items() if key.rpartition(".")[2] in kwargs}
        for key, value in links.items():
            name, linked = key.rpartition(".")[2], as_in_yaml(value)
            if self.given[name] is not None and as_in_yaml(self.given[name]) != linked:
                way_out = "leave the option out, it comes from the data"
                raise InputError(f"--model.{name} {as_in_yaml(self.given[name])}: the data has {linked}: {way_out}")
            self.config.model.init_args[name] = linked
        if self.config.loop == "manual":
            options = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")
            derive = self.project.loop("manual").optimize_manually
            model_class = derive(model_class, **{name: self.config.trainer[name] for name in options})
        for name, parameter in signature(model_class).parameters.items():
            if name in LINKED and parameter.default is parameter.empty and kwargs.get(name) is None:
                raise InputError(f"--model.{name}: the data has none: give the option")
        return _InstantiatorFn(self, "model")(model_class, *args, applied_instantiation_links=links, **kwargs)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add what every run has: speed, progress, checks of numbers and its own table of metrics."""
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
        config.logger = False
        if self.where is not None:
            self.table = MetricsTable(self.run.metrics)
            project = {"project": self.project.package.replace("_", "-")} if self.config.logger == "wandb" else {}
            options = {} if self.config.logger in {"csv", "none"} else {**project, **self.config.logger_options}
            logger = make_logger(self.config.logger, self.run.path, self.config.experiment, options)
            config.logger = [*as_list(logger), self.table]
            config.default_root_dir = str(self.run.path)
            if not any(isinstance(plugin, CheckpointIO) for plugin in self.plugins):
                config.plugins = [*self.plugins, WholeCheckpointIO()]
        if self.config.loop == "manual":
            config.accumulate_grad_batches, config.gradient_clip_val = 1, None  # the model does both
        return super().instantiate_trainer(**kwargs)

    def load_data(self) -> None:
        """Read the data, which shows what is wrong with it before a run is made."""
        if is_first_process():
            self.datamodule.prepare_data()
            for stage in ("fit", "test"):
                self.datamodule.setup(stage)

    def check(self) -> None:
        """Try what would otherwise fail within the run only: augmentations, the optimizer, monitored metrics."""
        if isinstance(self.datamodule, ImageDataModule) and is_first_process():
            self.check_size(self.datamodule.check_augmentations())
        if isinstance(self.model, Task):
            self.model.check_optimizer(self.trainer.strategy.root_device)
            check_options(self.config, monitor_rules(self.model.metric_names))

    def check_size(self, image: Tensor) -> None:
        """Apply the model to a training image, [1, C, H, W], if augmentations have changed its size."""
        shape, training = list(image.shape[1:]), [part for part in self.model.modules() if part.training]
        if shape == list(self.datamodule.input_shape) or not isinstance(self.model, Task):
            return  # another model need not have a forward
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
        """Load weights to see whether they fit."""
        try:
            self.model.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise InputError(f"{path}: does not fit the run's model: use one of the run's own checkpoints") from error


def is_first_process() -> bool:
    """Whether this process is the one that writes."""
    return getattr(rank_zero_only, "rank", 0) == 0


def as_list(value: Any) -> list[Any]:
    """Turn one or several callbacks or plugins, or none, into a list."""
    return value if isinstance(value, list) else [value] if value not in (None, True, False) else []


def as_in_yaml(value: Any) -> Any:
    """Turn tuples into lists."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
