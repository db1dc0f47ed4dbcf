"""What runs inside cookiecutter itself.

cruft loads this module once and then uses it for two versions of the template: it stays as it is, and whatever may
change is run anew from the version at hand.
"""

import inspect
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension

ANSWERS = Path("arc_light_scaffold", "answers.py")


class Scaffold(Extension):
    """Checks every answer before anything is created, and tells the hooks where the template is."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals |= {
            "check_answers": lambda answers: current("check_answers")(answers, output_folder()),
            "template_root": os.getcwd,  # while a hook is rendered
            "is_compared": is_compared,
        }

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Review each text that is about to be rendered; answers given as options are among them."""
        reviewed: str = current("review_source")(source)
        return reviewed


def current(function: str) -> Callable[..., Any]:
    """Load a function of the version at hand: cookiecutter and cruft append its folder to the import path."""
    folders = [Path(folder) for folder in (*reversed(sys.path), os.curdir)]
    path = next(folder / ANSWERS for folder in folders if (folder / ANSWERS).is_file())
    loaded: Callable[..., Any] = runpy.run_path(str(path))[function]
    return loaded


def frame_in(module: str) -> FrameType | None:
    """Find the innermost call of a module's functions that led here."""
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__") != module:
        frame = frame.f_back
    return frame


def output_folder() -> str | None:
    """Tell where cookiecutter is about to make the project's folder; the answers of a replay may name another."""
    frame = frame_in("cookiecutter.generate")
    return frame and frame.f_locals.get("output_dir")


def is_compared() -> bool:
    """Tell whether cruft generates into a scratch folder, to compare: a repository in it would be compared too."""
    return frame_in("cruft._commands.utils.generate") is not None
