"""Check an experiment before it is trained for long."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from time import perf_counter

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import Precision
from torch import Tensor

from lamphouse.cli.checks.parts import as_list
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from lamphouse.data import TensorDataModule
from lamphouse.doctor import Finding, attempt, examine_data, examine_loading, examine_model, examine_training
from lamphouse.task import Task

MOST = 32  # samples of the batch that is overfitted
BATCHES = 10  # that are loaded to see how long it takes
FIXED = ("--logger=none", "--trainer.devices=1", "--loop=automatic", "--trainer.fast_dev_run=false")


def main(project: Project, args: Sequence[str]) -> None:
    """Print what each check found; the status is 1 if there is a problem."""
    start = perf_counter()
    experiment = Experiment(project, "doctor", [*args, *FIXED])
    experiment.load_data()
    if isinstance(experiment.model, Task):
        experiment.model.initialize()
        experiment.model.freeze_epochs = 0  # what is frozen at first is to be checked, too
    problems = 0
    for finding in _findings(experiment):
        print(finding, flush=True)
        problems += finding.kind == "PROBLEM"
    print(f"\n{problems or 'no'} problem{'' if problems == 1 else 's'} found in {perf_counter() - start:.0f} s")
    if problems:
        raise SystemExit(1)


def _findings(experiment: Experiment) -> Iterator[Finding]:
    model, data, config = experiment.model, experiment.datamodule, experiment.config_init.trainer
    options = {"accelerator": config.accelerator, "devices": 1, "precision": config.precision}
    options["plugins"] = [plugin for plugin in as_list(config.plugins) if isinstance(plugin, Precision)]
    batch = next(iter(data.train_dataloader()))
    prepared = data.on_after_batch_transfer(data.on_before_batch_transfer(batch, 0), 0)
    is_pair = isinstance(prepared, list | tuple) and all(isinstance(part, Tensor) for part in prepared[:2])
    num_classes = getattr(data, "num_classes", None) if isinstance(model, Task) and is_pair else None
    if getattr(data, "shards", None):
        yield Finding("skipped", "numbers, labels and duplicates of streamed samples")
    elif isinstance(data, TensorDataModule):
        yield from examine_data({part: samples[:] for part, samples in data.parts.items()}, prepared[0], num_classes)
    if is_pair:
        prepared = tuple(part[:MOST] for part in prepared)
        yield from examine_model(model, prepared[0])
    guesses = num_classes if num_classes and is_pair and _classifies(model, prepared[:2], num_classes) else None
    yield from examine_training(model, prepared, guesses, **options)
    yield attempt(lambda: examine_loading(model, data, BATCHES, **options), "loading")
    parameters, size = sum(parameter.numel() for parameter in model.parameters()), getattr(data, "batch_size", "?")
    text = f"{parameters:,} parameters take {parameters * 4 / 2**20:.1f} MiB; `make tune` finds the largest batches"
    yield Finding("ok", f"{text}, which have {size} samples now")


@torch.no_grad()
def _classifies(model: LightningModule, pair: Sequence[Tensor], num_classes: int) -> bool:
    """Return whether the model has an output for each class, for a sample or at each place of its target."""
    (inputs, targets) = pair
    try:
        outputs: Tensor = deepcopy(model).cpu().eval()(inputs.cpu())
        return outputs.numel() in {len(targets) * num_classes, targets.numel() * num_classes}
    except Exception:  # of a user's code; examine_model says what
        return False
