"""Answers of models that take a text as it is given, instead of samples from files."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.model_helpers import is_overridden

from lamphouse.cli.checks.messages import SEE
from lamphouse.cli.commands.ensemble import Ensemble
from lamphouse.cli.parser import ExperimentParser, restrict_jsonargparse
from lamphouse.errors import InputError
from lamphouse.task import Task

OF_SAMPLES = {"top": "top", "probabilities": "probabilities", "skip": "skip_unreadable", "size": "data.batch_size"}


def responds(ensemble: Ensemble) -> bool:
    """Return whether models take a text as it is."""
    return takes_text(ensemble.members[0][0])


def takes_text(model: Any) -> bool:
    """Return whether a model answers texts."""
    return isinstance(model, Task) and is_overridden("respond", model, Task)


def responses(
    ensemble: Ensemble, options: argparse.Namespace, rest: Sequence[str]
) -> tuple[list[str], Iterator[tuple[str, str]]]:
    """Return texts, and an iterator over pairs of a text and the model's answer to it.

    Raises:
        InputError: an option is not the model's, there are several models, or, at its turn, a text is rejected.
    """
    (model, data), *others = ensemble.members
    if others:
        raise InputError("--run: texts are answered by one model: give one run and one checkpoint")
    if unused := [f"--{name}" for attribute, name in OF_SAMPLES.items() if getattr(options, attribute)]:
        raise InputError(f"{unused[0]}: applies to samples only, and {type(model).__name__} takes texts: leave it out")
    given = _texts(options.input)
    return given, _answers(model, data, given, _options(model, rest))


@torch.inference_mode()
def _answers(model: Task, data: Any, given: Sequence[str], options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for text in given:
        try:
            yield text, model.respond(text, data, **options)
        except InputError as error:
            raise InputError(f"--input {error}") from error


def _options(model: Task, args: Sequence[str]) -> dict[str, Any]:
    """Parse the further arguments of a model's `respond`."""
    restrict_jsonargparse()
    parser = ExperimentParser(allow_abbrev=False)
    parser.add_method_arguments(type(model), "respond", skip={"given", "data"})
    try:
        options: dict[str, Any] = parser.parse_args(args).as_dict()
    except InputError as error:
        names = ", ".join(f"--{name}" for name in parser.get_defaults().as_dict())
        raise InputError(f"{str(error).removesuffix(SEE)}{type(model).__name__} has {names}") from error
    return options


def _texts(given: str) -> list[str]:
    """Read the lines of a file, or of the standard input if a hyphen is given; anything else is a text itself."""
    try:
        if given != "-" and not Path(given).is_file():
            return [given]
        text = sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # such as no UTF-8
        raise InputError(f"--input {given}: no readable text ({error}): give another file, or a text") from error
    if not (lines := [line for line in text.splitlines() if line]):
        raise InputError(f"--input {given}: no line of text: write one for each answer")
    return lines
