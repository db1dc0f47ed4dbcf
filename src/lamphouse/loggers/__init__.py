"""Loggers that keep to a run's own directory; one that needs more than that has a module of its own name here."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from lamphouse.errors import InputError
from lamphouse.loggers.directory import close, log_config, place
from lamphouse.runs.directory import Run

__all__ = ["close", "log_config", "make_logger"]

CLASSES = {"wandb": "WandbLogger", "tensorboard": "TensorBoardLogger"}
USUAL = {"wandb": {}, "tensorboard": {"name": "tensorboard", "version": ""}}


def make_logger(name: str, run_dir: Path, experiment: str, options: Mapping[str, Any]) -> Any:
    """Make a logger that writes into a run's directory; None for csv and none."""
    if name not in CLASSES:
        return None
    config = Namespace(class_path=CLASSES[name], init_args=Namespace({**USUAL[name], **options}))
    place(config, Run(run_dir), experiment)
    logger_class = getattr(import_module("lightning.pytorch.loggers"), CLASSES[name])
    try:
        return logger_class(**vars(config.init_args), **(config.get("dict_kwargs") or {}))
    except (ModuleNotFoundError, TypeError) as error:
        raise InputError(f"--logger {name}: {error}") from error
