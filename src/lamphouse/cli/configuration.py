"""The options of an experiment, parsed from YAML files and the command line, and checked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from jsonargparse.typing import OpenUnitInterval, restricted_number_type
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lamphouse.checkpoints import BestCheckpoint, ExactResume
from lamphouse.cli.checks.options import check_file_keys, check_options, rules
from lamphouse.cli.checks.values import check_values, integers_first
from lamphouse.cli.checks.yaml_files import yaml_files
from lamphouse.cli.parser import ExperimentParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError
from lamphouse.loggers import LoggerName
from lamphouse.machine.settings import Machine
from lamphouse.runs.directory import Run

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])
LINKED = ("num_classes", "input_shape")  # arguments of the model that come from the data


class Configuration(LightningCLI):
    """The parsed options of an experiment (abstract): a subclass instantiates them.

    `where` chooses the run's directory once the options are known; None keeps the experiment from writing.
    """

    def __init__(
        self,
        project: Project,
        command: str,
        args: Sequence[str],
        where: Callable[[Namespace], Run] | None = None,
    ) -> None:
        self.project, self.args, self.where = project, list(args), where
        integers_first(Trainer.__init__)
        project.import_parts()
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
                "prog": f"{project.program} {command}",
                "usage": "%(prog)s [-c FILE ...] [--OPTION VALUE ...]",
                "allow_abbrev": False,
            },
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        loop_names: Any = Literal[("automatic", *self.project.loops)]
        options: dict[str, tuple[Any, Any, str]] = {  # type, default, help
            "seed_everything": (Seed, 42, "Seed of all random numbers, below 2**32."),
            "experiment": (str | None, None, "Name of the experiment (default: of the YAML file that has the model)."),
            "loop": (loop_names, "automatic", "Training loop."),
            "ema": (OpenUnitInterval | None, None, "Decay of an exponential moving average of the weights."),
            "check_finite": (bool, True, "Stop at the first loss or gradient that is infinite or nan."),
            "machine": (Machine, Machine(), "Settings of the machine."),
            "logger": (LoggerName, "csv", "Logger; csv and none write the run's own metrics.csv and nothing else."),
            "logger_options": (dict[str, Any], {}, "Arguments of Lightning's logger, such as `project` of W&B's."),
            "runs": (Path, Path("runs"), "Directory of all runs."),
        }
        for name, (kind, default, text) in options.items():
            parser.add_argument(f"--{name}", type=kind, default=default, help=text)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.add_lightning_class_args(BestCheckpoint, "best_checkpoint")
        parser.add_lightning_class_args(ExactResume, "last_checkpoint")
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        # the data's own sampler knows the processes, and the run's commands know the file
        parser.set_defaults({"trainer.use_distributed_sampler": False, "best_checkpoint.filename": "best"})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.files = yaml_files(args)
        try:
            self.config = parser.parse_args(args)
        except RecursionError as error:
            raise InputError("an option is nested too deeply; see --help for every option") from error
        check_file_keys(self.files, self.config, parser.get_defaults())
        check_values(self.config)
        check_options(self.config, rules())
        if self.config.trainer.logger is False:
            self.config.trainer.logger, self.config.logger = None, "none"
        self.config.experiment = self.config.experiment or self.default_name()

    def default_name(self) -> str:
        """Name the experiment after the last YAML file that has a model, or else after the model's class."""
        names = [path.stem for path, options in self.files.items() if "model" in options]
        return names[-1] if names else str(self.config.model.class_path).rpartition(".")[2].lower()

    def resolved(self) -> str:
        """Dump the whole configuration, defaults included, as YAML."""
        config = self.config.clone()
        del config["config"]  # the files that it came from
        config.best_checkpoint.dirpath = config.last_checkpoint.dirpath = None  # a run may be moved
        text: str = self.parser.dump(config, skip_none=False, skip_link_targets=False, skip_validation=True)
        return text
