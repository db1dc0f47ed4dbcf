"""Help that fits on a screen: the project's own options, and where the others are."""

import shutil
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule

from lamphouse.cli.project import Project
from lamphouse.cli.suggestions import subclasses

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
}


def print_help(
    project: Project, parser: ArgumentParser, own: Mapping[str, tuple[Any, Any, str]], args: Sequence[str]
) -> None:
    """Print help if the arguments ask for it, and exit."""
    if "--help_all" in args:
        parser.print_help()
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
