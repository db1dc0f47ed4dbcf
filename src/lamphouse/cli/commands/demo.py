"""Try a run's model in a browser."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import torch

from lamphouse.cli.commands.evaluate import restored
from lamphouse.cli.commands.export import deployed_model
from lamphouse.cli.commands.respond import takes_text
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.data import ImageDataModule
from lamphouse.errors import InputError
from lamphouse.export.demo import Answer, Takes, classify, serve

HIGHEST_PORT = 65535


def main(project: Project, args: Sequence[str]) -> None:
    """Serve a page on which images are drawn or dropped, or texts typed, until Ctrl-C."""
    description = "Serve a page to try a model, on this machine alone; further options are those of fit."
    parser = CommandParser(project, "demo", description, checkpoint=True)
    parser.add_argument("--port", type=_port, default=8000, help="of the page; 0 chooses a free one (default: 8000)")
    options, run, rest = parser.parse_run(args)
    experiment, _ = restored(project, "demo", run, options.checkpoint, rest)
    answer, takes = _answer(experiment, f"--run {run.path}: the page is for images to classify, and texts to answer")
    with suppress(KeyboardInterrupt):
        serve(answer, experiment.config.experiment, takes, options.port)


def _answer(experiment: Experiment, otherwise: str) -> tuple[Answer, Takes]:
    model, data = experiment.model.eval(), experiment.datamodule
    if takes_text(model):
        return lambda content: {"text": model.respond(content.decode(errors="replace"), data)}, "text"
    if not isinstance(data, ImageDataModule):
        raise InputError(otherwise)
    deployed = deployed_model(experiment, torch.zeros(2, *data.input_shape, dtype=torch.uint8))
    if not deployed.classes:
        raise InputError(otherwise)
    return partial(classify, deployed, data.read), "drawing" if data.input_shape[0] == 1 else "image"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise ArgumentTypeError(f"{text}: expected a port, 0..{HIGHEST_PORT}")
    return int(text)
