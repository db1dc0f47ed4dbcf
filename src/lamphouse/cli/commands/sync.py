"""Upload a run that W&B recorded offline."""

from collections.abc import Sequence

from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError
from lamphouse.files import only_writer
from lamphouse.loggers import wandb_support


def main(project: Project, args: Sequence[str]) -> None:
    """Upload the segments of a run, in their order."""
    _, run, rest = CommandParser(project, "sync", "Upload a run that W&B recorded offline.").parse_run(args)
    if rest:
        raise InputError(f"{rest[0]}: no such option; see --help for every option")
    with only_writer(run.path):  # for W&B cannot upload what is still being written
        wandb_support().sync(run.path)
