"""What can be chosen of an experiment: its options, from YAML files and the command line, parsed and checked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from jsonargparse.typing import OpenUnitInterval, restricted_number_type
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lamphouse.checkpoints.best import BestCheckpoint
from lamphouse.checkpoints.resume import ExactResume
from lamphouse.cli.checks import check_fixed, check_keys, check_processes, check_trainer
from lamphouse.cli.parser import ExperimentParser, yaml_files
from lamphouse.cli.project import Project
from lamphouse.cli.values import check_values, integers_first
from lamphouse.errors import InputError
from lamphouse.machine.settings import Machine
from lamphouse.runs.directory import Run

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])
LINKED = ("num_classes", "input_shape")  # what a model learns from its data


class Configuration(LightningCLI):
    """The parsed options of an experiment (abstract): a subclass makes it of them.

    Args:
        project: whose models, data sets and loops options name.
        command: the subcommand that it is parsed for, to be named in its help.
        args: options, `-c` YAML files among them.
        where: chooses the run's directory when the options are known; None keeps the experiment from writing.

    Raises:
        InputError: an option or a file is wrong.
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
        """Add what belongs to the experiment as a whole."""
        parser.add_argument("--seed_everything", type=Seed, default=42, help="Seed of everything random, below 2**32.")
        parser.add_argument(
            "--experiment", type=str | None, help="Its name; by default that of the YAML file with its model."
        )
        # [part:loops]
        parser.add_argument(
            "--loop", type=Literal[("automatic", *self.project.loops)], default="automatic", help="Training loop."
        )
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
        parser.add_lightning_class_args(BestCheckpoint, "best_checkpoint")
        parser.add_lightning_class_args(ExactResume, "last_checkpoint")
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

    def default_name(self) -> str:
        """Name the experiment after the last YAML file that has a model, or else after the model's class."""
        names = [path.stem for path, options in self.files.items() if "model" in options]
        return names[-1] if names else str(self.config.model.class_path).rpartition(".")[2].lower()

    def resolved(self) -> str:
        """Dump the whole configuration, as YAML."""
        config = self.config.clone()
        del config["config"]  # the files that it came from
        config.best_checkpoint.dirpath = config.last_checkpoint.dirpath = None  # where the run is, wherever it is moved
        whole = {"skip_none": False, "skip_link_targets": False}
        text: str = self.parser.dump(config, **whole, skip_validation=True)  # it was checked when parsed
        return text
