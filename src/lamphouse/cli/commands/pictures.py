"""Pictures of a model in the logger of its run, for `--pictures true`."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.experiment import Experiment
from lamphouse.loggers import close, log_config, log_pictures, make_logger
from lamphouse.pages import look
from lamphouse.runs.directory import Run


def log_again(experiment: Experiment, run: Run, checkpoint: Mapping[str, Any]) -> None:
    """Log pictures after training: continue the record of the run's logger, or begin one of another."""
    config, project = experiment.config, experiment.project.package.replace("_", "-")
    logger: Any = make_logger(config.logger, run.path, config.experiment, config.logger_options, project)
    try:
        log_config(logger, read_file(run.config))
        log(experiment, [logger], checkpoint)
    finally:
        close([logger])


def log(experiment: Experiment, loggers: Sequence[Logger], checkpoint: Mapping[str, Any]) -> None:
    """Log pictures of a checkpoint, and the graph of a network that takes tensors."""
    model = experiment.model
    model.load_state_dict(checkpoint["state_dict"])
    pictures = look(model, experiment.datamodule, experiment.trainer.strategy.root_device)
    network, inputs = getattr(model, "network", None), pictures.inputs
    graph = None if network is None or inputs is None else (network, inputs.to(model.device))
    log_pictures(loggers, pictures.images(), pictures.tables(), graph, checkpoint["global_step"])
