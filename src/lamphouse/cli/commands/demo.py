"""Try a run's model in a browser."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress

import torch

from lamphouse.cli.commands.evaluate import restored
from lamphouse.cli.commands.export import deployed_model
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.data import ImageDataModule
from lamphouse.errors import InputError
from lamphouse.export.demo import serve

HIGHEST_PORT = 65535


def main(project: Project, args: Sequence[str]) -> None:
    """Serve a page on which images are drawn or dropped, until Ctrl-C."""
    description = "Serve a page that classifies images, on this machine alone; further options are those of fit."
    parser = CommandParser(project, "demo", description, checkpoint=True)
    parser.add_argument("--port", type=_port, default=8000, help="of the page; 0 chooses a free one (default: 8000)")
    options, run, rest = parser.parse_run(args)
    experiment, _ = restored(project, "demo", run, options.checkpoint, rest)
    data, reason = experiment.datamodule, f"--run {run.path}: classifies no images: the page is for runs that do"
    if not isinstance(data, ImageDataModule):
        raise InputError(reason)
    deployed = deployed_model(experiment, torch.zeros(2, *data.input_shape, dtype=torch.uint8))
    if not deployed.classes:
        raise InputError(reason)
    with suppress(KeyboardInterrupt):
        serve(deployed, data.read, experiment.config.experiment, data.input_shape[0] == 1, options.port)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise ArgumentTypeError(f"{text}: expected a port, 0..{HIGHEST_PORT}")
    return int(text)
