"""Help that fits on a screen: the project's own options, and where the others are."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

from jsonargparse import ArgumentParser
from jsonargparse.typing import OpenUnitInterval, PositiveInt, restricted_number_type
from lightning.pytorch import LightningDataModule, LightningModule

from lamphouse.cli.commands.schema import print_schema
from lamphouse.cli.project import Project
from lamphouse.cli.suggestions import subclasses
from lamphouse.loggers import LoggerName
from lamphouse.machine.settings import Machine

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])
USUAL = {  # of the other options, those that are used most
    "-c FILE": "A YAML file of options; a later one, and the command line, override it.",
    "--trainer.max_epochs N": "Epochs to train.",
    "--trainer.accelerator NAME": "cpu, cuda, mps or auto; --trainer.devices N takes several.",
    "--trainer.precision NAME": "32-true, bf16-mixed and others.",
    "--data.batch_size N": "Samples in a batch.",
    "--model.optimizer CLASS": "torch's or your own, such as AdamW; --model.optimizer.lr is its learning rate.",
    "--early_stopping.patience N": "Validations without improvement, after which training ends.",
    "--best_checkpoint.monitor NAME": "Metric that chooses best.ckpt, such as val/loss.",
}
MORE = {
    "--model.help CLASS": "Options of a model; likewise --data.help, and --model CLASS --model.optimizer.help CLASS.",
    "--help_all": "Every option, also of the Trainer.",
    "--print_schema": "The JSON schema of these options, for editors; `make schema` writes configs/schema.json.",
}


def own_options(loops: Sequence[str]) -> dict[str, tuple[Any, Any, str]]:
    """Return type, default and help of each option that is neither the Trainer's, nor a model's, nor the data's."""
    loop_names: Any = Literal[("automatic", *loops)]
    return {
        "seed_everything": (Seed, 42, "Seed of all random numbers, below 2**32."),
        "experiment": (str | None, None, "Its name (default: that of the YAML file with the model)."),
        "loop": (loop_names, "automatic", "Training loop."),
        "ema": (OpenUnitInterval | None, None, "Decay of an exponential moving average of the weights."),
        "stop_early": (bool, True, "Stop as the options of early_stopping say; false trains to the end."),
        "check_finite": (bool, True, "Stop at the first loss or gradient that is infinite or nan."),
        "gradient_norms": (PositiveInt | None, None, "Log the norm of the gradients every so many steps."),
        "machine": (Machine, Machine(), "Settings of the machine."),
        "logger": (LoggerName, "csv", "Logger; csv and none write the run's own metrics.csv and nothing else."),
        "logger_options": (dict[str, Any], {}, "Arguments of Lightning's logger, such as `project` of W&B's."),
        "pictures": (bool, False, "Show figures, mistakes and a batch in the logger after training."),
        "runs": (Path, Path("runs"), "Directory of all runs."),
    }


def print_help(
    project: Project, parser: ArgumentParser, own: Mapping[str, tuple[Any, Any, str]], args: Sequence[str]
) -> None:
    """Print help, or what editors need, if the arguments ask for it, and exit."""
    if "--help_all" in args:
        parser.print_help()
    elif "--print_schema" in args:
        print_schema(parser, project.package)
    elif {"-h", "--help"} & set(args):
        classes = {
            "--model CLASS": f"One of {', '.join(_classes(project, LightningModule))}, or a class by its module.",
            "--data CLASS": f"One of {', '.join(_classes(project, LightningDataModule))}, or a class by its module.",
        }
        titles = ("The project's options:", "Used most:", "More:")
        tables = (classes | {f"--{name}": text for name, (_, _, text) in own.items()}, USUAL, MORE)
        print(f"usage: {parser.prog} -c FILE ... [--OPTION VALUE ...]")
        for title, table in zip(titles, tables, strict=True):
            print(f"\n{title}\n" + "\n".join(_entry(option, text) for option, text in table.items()))
    else:
        return
    raise SystemExit(0)


def _entry(option: str, text: str) -> str:
    width = shutil.get_terminal_size().columns
    if width < 80:
        return f"  {option}\n" + fill(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return fill(f"{option:<33}{text}", width, initial_indent="  ", subsequent_indent=" " * 35)


def _classes(project: Project, base: type) -> list[str]:
    """Name the project's and the library's classes that options can choose."""
    own = (f"{project.package}.", "lamphouse.")
    bases = {parent for cls in subclasses(base) for parent in cls.__bases__}
    found = {cls.__name__ for cls in subclasses(base) if cls.__module__.startswith(own) and cls not in bases}
    return sorted(name for name in found if not name.startswith("_"))
