"""An experiment: model, data and trainer, put together from YAML files and options by LightningCLI."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from jsonargparse.typing import OpenUnitInterval, restricted_number_type
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

import arc_light.data
import arc_light.models
import arc_light.optim  # these three make their classes known by short names
from arc_light.callbacks import (
    EMA,
    EpochProgress,
    LastCheckpoint,
    MetricsCSV,
    RunCheckpoint,
    StopNotFinite,
    Throughput,
)
from arc_light.checkpoints import WholeCheckpointIO
from arc_light.checks import check_fixed, check_keys, check_monitor, check_name, check_processes, check_trainer
from arc_light.errors import InputError
from arc_light.finite import FiniteCheck
from arc_light.loggers import place
from arc_light.loops import Loop
from arc_light.loops.manual import optimize_manually
from arc_light.machine import Machine, choose
from arc_light.parser import ExperimentParser, reason, yaml_files
from arc_light.runs import Run
from arc_light.signals import StopSignals
from arc_light.values import check_values

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])
LINKED = ("num_classes", "input_shape")  # what a model learns from its data


class Experiment(LightningCLI):
    """The parsed and instantiated experiment, ready to run.

    Args:
        command: the subcommand that it is parsed for, to be named in its help.
        args: options, `-c` YAML files among them.
        where: chooses the run's directory when the options are known; None keeps the experiment from writing.

    Raises:
        InputError: an option or a file is wrong, or model and data contradict each other.
    """

    def __init__(self, command: str, args: Sequence[str], where: Callable[[Namespace], Run] | None = None) -> None:
        self.args, self.where = list(args), where
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
            parser_kwargs={
                "prog": f"python -m arc_light {command}",
                "usage": "%(prog)s [-c FILE ...] [--OPTION VALUE ...]",
                "allow_abbrev": False,
            },
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what belongs to the experiment as a whole."""
        parser.add_argument("--seed_everything", type=Seed, default=42, help="Seed of everything random, below 2**32.")
        parser.add_argument(
            "--experiment", type=str | None, help="Its name; by default that of the YAML file with its model."
        )
        # [part:loops]
        parser.add_argument("--loop", type=Loop, default="automatic", help="Who takes the steps.")
        # [/part:loops]
        parser.add_argument("--ema", type=OpenUnitInterval | None, help="Decay of a moving average of the weights.")
        parser.add_argument(
            "--check_finite", type=bool, default=True, help="Stop at a loss or gradient that is infinite or nan."
        )
        parser.add_argument("--machine", type=Machine, default=Machine(), help="How the machine is used.")
        parser.add_argument("--runs", type=Path, default=Path("runs"), help="Where the directories of runs are.")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the named callbacks, link the model to its data, and leave sharing data between processes to the data."""
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.add_lightning_class_args(RunCheckpoint, "best_checkpoint")
        parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        parser.set_defaults({"trainer.use_distributed_sampler": False})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, without the warning of LightningCLI about options in `sys.argv` too."""
        self.files = yaml_files(args)
        try:
            self.config = parser.parse_args(args)
        except RecursionError as error:
            raise InputError("an option is nested too deeply; see --help for every option") from error
        check_keys(self.files, self.config, parser.get_defaults())
        check_values(self.config)
        check_fixed(self.config)
        check_processes(self.config)
        check_trainer(self.config)

    def before_instantiate_classes(self) -> None:
        """Fill in what follows from the rest, and put everything that writes into the run's directory."""
        self.device = choose(self.config)
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
        if self.where is not None:
            self.table = MetricsCSV(self.run.metrics)
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
        if isinstance(self.datamodule, arc_light.data.ImageDataModule) and is_first_process():
            self.datamodule.check()
        if isinstance(self.model, arc_light.models.Classifier):
            self.model.check(self.trainer.strategy.root_device)
            for name in ("early_stopping", "best_checkpoint"):
                check_monitor(name, self.config[name].monitor, self.model.metric_names)

    def check_weights(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Load weights, only to see that they fit.

        Raises:
            InputError: they are those of another model.
        """
        try:
            self.model.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise InputError(f"{path}: does not fit the run's model: use one of the run's own checkpoints") from error

    def default_name(self) -> str:
        """Name the experiment after the last YAML file that has a model, or else after the model's class."""
        names = [path.stem for path, options in self.files.items() if "model" in options]
        return names[-1] if names else str(self.config.model.class_path).rpartition(".")[2].lower()

    def resolved(self) -> str:
        """Dump the whole configuration, as YAML."""
        config = self.config.clone()
        del config["config"]  # the files that it came from
        config.best_checkpoint.dirpath = config.last_checkpoint.dirpath = None  # where the run is, wherever it is moved
        text: str = self.parser.dump(config, skip_none=False, skip_link_targets=False)
        return text


def is_first_process() -> bool:
    """Tell whether this process writes; in a run of one it does."""
    return getattr(rank_zero_only, "rank", 0) == 0


def as_list(value: Any) -> list[Any]:
    """Put one or several loggers or callbacks, or none, into a list."""
    return value if isinstance(value, list) else [value] if value not in (None, True, False) else []


def plain(value: Any) -> Any:
    """Turn tuples into lists, as YAML has them."""
    return list(value) if isinstance(value, Sequence) else value
