"""An experiment: its options, parsed from YAML files and the command line, and the objects made from them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import (
    LightningArgumentParser,
    LightningCLI,
    _InstantiatorFn,  # private: has a module know the options that it was made with
)
from torch.nn.parameter import is_lazy
from torchmetrics import Metric

from lamphouse.callbacks import (
    EMA,
    EarlyStop,
    EpochProgress,
    FiniteCheck,
    GlobalBatch,
    GradientNorms,
    NoProfiler,
    SkipIdleHooks,
    StepCurve,
    StopNotFinite,
    Throughput,
)
from lamphouse.checkpoints import BestCheckpoint, ExactResume, WholeCheckpointIO
from lamphouse.checkpoints.stopping import switch
from lamphouse.cli.checks.options import as_started, check_monitors, check_processes, checked
from lamphouse.cli.checks.parts import as_in_yaml, as_list, check_parts, place_checkpoints, requires
from lamphouse.cli.checks.yaml_files import read_yaml, yaml_files
from lamphouse.cli.help import own_options, print_help
from lamphouse.cli.parser import ExperimentParser, expand, integers_first, interpolate_if_asked, restrict_jsonargparse
from lamphouse.cli.project import TOGETHER, Project, plain_cause, user_place
from lamphouse.cli.suggestions import blaming
from lamphouse.data import ImageDataModule
from lamphouse.errors import InputError
from lamphouse.loggers import MetricsTable, make_logger
from lamphouse.loops import refuse_unsupported
from lamphouse.machine.settings import default_channels_last, default_precision, device_type, float16_on_cpu
from lamphouse.metrics import with_classes
from lamphouse.runs.directory import Run
from lamphouse.task import Task

OF_CODE = (AttributeError, LookupError, NameError, TypeError)  # which say little by themselves
LINKED = ("num_classes", "input_shape")  # arguments of the model that come from the data


class Experiment(LightningCLI):
    """Parses, checks and instantiates model, data and Trainer.

    `where` chooses the run's directory once the options are known; None keeps the experiment from writing.
    """

    def __init__(
        self, project: Project, command: str, args: Sequence[str], where: Callable[[Namespace], Run] | None = None
    ) -> None:
        self.project, self.args, self.where, self.is_alone = project, list(args), where, command not in TOGETHER
        restrict_jsonargparse()
        integers_first(Trainer.__init__)
        project.import_parts()
        usage = {"prog": f"{project.program} {command}", "usage": "%(prog)s [-c FILE ...] [--OPTION VALUE ...]"}
        usage["description"] = "Options of the experiment, in YAML files and on the command line."
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            auto_configure_optimizers=False,
            run=False,
            args=self.args,
            parser_class=ExperimentParser,
            parser_kwargs={**usage, "allow_abbrev": False},
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Experiment":
        return self  # which optimizers' callables refer to; a copy of the model, such as an average, needs no other

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        self.options = own_options(self.project.loops)
        for name, (kind, default, text) in self.options.items():
            parser.add_argument(f"--{name}", type=kind, default=default, help=text)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(EarlyStop, "early_stopping")
        parser.add_lightning_class_args(BestCheckpoint, "best_checkpoint")
        parser.add_lightning_class_args(ExactResume, "last_checkpoint")
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        parser.set_defaults({"best_checkpoint.filename": "best", "best_checkpoint.enable_version_counter": False})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        print_help(self.project, parser, self.options, args)
        self.files = yaml_files(args)
        interpolate_if_asked(parser, [str([*self.files.values()]), *args])
        try:
            self.config = config = checked(expand(parser.parse_args(args)), self.files, parser.get_defaults())
        except RecursionError as error:
            raise InputError("an option is nested too deeply; see --help for every option") from error
        check_parts(config)
        check_processes(config, self.project.job, self.is_alone, args)
        if config.trainer.logger is False:
            config.trainer.logger, config.logger = None, "none"
        if not config.experiment:  # the name of the last YAML file that names a model, or else of the model's class
            names = [path.stem for path, given in self.files.items() if {*(given.get("model") or ())} - {"init_args"}]
            config.experiment = names[-1] if names else str(config.model.class_path).rpartition(".")[2].lower()

    def resolved(self) -> str:
        """Dump the whole configuration, defaults included, as YAML."""
        config = self.config.clone()
        config.pop("config", None)  # the files that it came from
        config.best_checkpoint.dirpath = config.last_checkpoint.dirpath = None  # a run may be moved
        text: str = self.parser.dump(config, skip_none=False, skip_link_targets=False, skip_validation=True)
        return text

    def before_instantiate_classes(self) -> None:
        config, self.device = self.config, device_type(self.config.trainer.accelerator)
        if config.pictures and config.logger in {"csv", "none"}:
            way_out = "give --logger tensorboard or wandb, or leave them to the command report"
            raise InputError(f"--pictures true: --logger {config.logger} takes none: {way_out}")
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
            if "dirpath" in config.get("trainer.profiler.init_args", {}):
                config.trainer.profiler.init_args.dirpath = str(self.run.path)
        self.parser.add_instantiator(self.instantiate_model, LightningModule)
        self.parser.add_instantiator(self.instantiate_data, LightningDataModule)
        self.parser.add_instantiator(self.instantiate_metric, Metric)
        self.config_dump = read_yaml(self.resolved())  # else Lightning dumps and reads it, which takes longer

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
            self.config_init.machine.prepare(self.device)
        except (ImportError, MisconfigurationException, RuntimeError, ValueError, *OF_CODE) as error:
            if isinstance(error.__cause__, InputError):
                raise error.__cause__ from error
            cause = plain_cause(error)
            where = user_place(cause) + (f"{type(cause).__name__}: " if isinstance(cause, OF_CODE) else "")
            raise blaming(cause, self.config.trainer, self.parser.get_defaults().trainer, where) from error

    def instantiate_model(
        self, model_class: type[LightningModule], *args: Any, applied_instantiation_links: dict[str, Any], **kwargs: Any
    ) -> LightningModule:
        """Instantiate the model, and record in the configuration what it got from the data."""
        if model_class.__name__ != self.config.model.class_path.rpartition(".")[2]:
            return model_class(*args, **kwargs)  # one among the model's options
        applied = {key: key.rpartition(".")[2] for key in applied_instantiation_links}
        if self.model_shape and "input_shape" in kwargs:  # of what the data makes of its samples
            kwargs["input_shape"] = self.model_shape
        links = {key: kwargs[name] for key, name in applied.items() if name in kwargs}
        for key, value in links.items():
            name, linked = key.rpartition(".")[2], as_in_yaml(value)
            given = as_in_yaml(self.given[name])
            if given is not None and given != linked:
                way_out = "leave the option out, it comes from the data"
                raise InputError(f"--model.{name} {given}: the data has {linked}: {way_out}")
            self.config.model.init_args[name] = linked
        if self.config.loop == "manual":
            options = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")
            derive = self.project.loop("manual").optimize_manually
            model_class = derive(model_class, **{name: self.config.trainer[name] for name in options})
        if lacking := [name for name in LINKED if kwargs.get(name) is None and requires(model_class, name)]:
            raise InputError(f"--model.{lacking[0]}: the data has none: give the option")
        return _InstantiatorFn(self, "model")(model_class, *args, applied_instantiation_links=links, **kwargs)

    def instantiate_data(
        self, data_class: type[LightningDataModule], *args: Any, applied_instantiation_links: Any, **kwargs: Any
    ) -> LightningDataModule:
        """Instantiate the data, and keep the number of classes for the metrics."""
        links = {"applied_instantiation_links": applied_instantiation_links}
        data = _InstantiatorFn(self, "data")(data_class, *args, **links, **kwargs)
        self.num_classes, self.model_shape = getattr(data, "num_classes", None), getattr(data, "model_shape", None)
        return data

    def instantiate_metric(self, metric_class: type[Metric], *args: Any, **kwargs: Any) -> Metric:
        return metric_class(*args, **with_classes(metric_class, kwargs, self.num_classes))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        config = as_started(self.config_init.trainer, self.project.job, self.is_alone)
        self.finite = FiniteCheck(self.config.check_finite or config.detect_anomaly)
        callbacks: list[Callback] = [*as_list(config.callbacks)]
        shows = config.enable_progress_bar is not False and not any(isinstance(one, ProgressBar) for one in callbacks)
        callbacks += [Throughput(), StepCurve(), GlobalBatch(), SkipIdleHooks(), StopNotFinite(self.finite)]
        callbacks += [EMA(self.config.ema)] if self.config.ema is not None else []
        every, clips = self.config.gradient_norms, bool(config.gradient_clip_val)
        callbacks += [GradientNorms(every, clipped=clips)] if every else []
        config.callbacks = [*callbacks, *([EpochProgress()] if shows else [])]
        config.precision, config.plugins = float16_on_cpu(config.precision, as_list(config.plugins), self.device)
        switch(self.config_init.early_stopping, on=self.config.stop_early)
        traces = self.where is None and "ytorch" in str(config.profiler)  # which belong to a training
        config.profiler, config.logger = (not traces and config.profiler) or NoProfiler(), False
        if not any(isinstance(plugin, CheckpointIO) for plugin in as_list(config.plugins)):
            config.plugins = [*as_list(config.plugins), WholeCheckpointIO()]
        if self.where is not None:
            self._write_into_the_run(config)
        if self.config.loop == "manual":
            config.accumulate_grad_batches, config.gradient_clip_val = 1, None  # the model does both
        return super().instantiate_trainer(**kwargs)

    def _write_into_the_run(self, config: Namespace) -> None:
        self.table = MetricsTable(self.run.metrics)
        options = {} if self.config.logger in {"csv", "none"} else self.config.logger_options
        where, project = (self.run.path, self.config.experiment), self.project.package.replace("_", "-")
        config.logger = [*as_list(make_logger(self.config.logger, *where, options, project)), self.table]
        config.default_root_dir = str(self.run.path)
        place_checkpoints(config.callbacks, self.run.path)

    def load_data(self) -> None:
        if self.trainer.is_global_zero:
            self.datamodule.prepare_data()
            for stage in ("fit", "test"):
                self.datamodule.setup(stage)

    def check(self) -> None:
        """Try what would otherwise fail within the run only: data, augmentations, optimizer, metrics, loop."""
        self.load_data()
        if any(is_lazy(tensor) for tensor in (*self.model.parameters(), *self.model.buffers())):
            raise InputError(f"--model {type(self.model).__name__}: has lazy layers: give every layer its sizes")
        if isinstance(self.datamodule, ImageDataModule) and self.trainer.is_global_zero:
            image = self.datamodule.check_augmentations()
            if isinstance(self.model, Task):  # another model need not have a forward
                self.model.check_size(image, self.datamodule.model_shape)
        check_monitors(self.config, self.model, self.trainer)
        if isinstance(self.model, Task):
            self.model.initialize(self.trainer.strategy)
            self.model.check_optimizer(self.trainer.strategy.root_device)
        if self.config.loop == "handwritten":
            given, default = self.config.as_dict(), self.parser.get_defaults().as_dict()
            refuse_unsupported(self.trainer, self.model, self.datamodule, given, default)

    def check_weights(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        try:
            self.model.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise InputError(f"{path}: does not fit the run's model: use one of the run's own checkpoints") from error
