"""What a run says at its beginning and at its end."""

import os
from collections.abc import Mapping
from statistics import median
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.cli.experiment import Experiment

PARTS = {"train": "train", "val": "validation", "test": "test"}


@rank_zero_only
def print_header(experiment: Experiment) -> None:
    """Say what is trained, on what and where."""
    parameters = sum(p.numel() for p in experiment.model.parameters())
    sizes = [f"{len(part):,} {PARTS[name]}" for name, part in getattr(experiment.datamodule, "parts", {}).items()]
    trainer, model = experiment.trainer, experiment.config.model.class_path.rpartition(".")[2]
    print(
        f"{experiment.config.experiment}: {model} of {parameters:,} parameters on "
        f"{type(experiment.datamodule).__name__} ({', '.join(sizes)} images), "
        f"{trainer.strategy.root_device}, {trainer.precision}, run {experiment.run.name}"
    )
    channels_last = getattr(experiment.model, "memory_format", None) == torch.channels_last
    machine, device = experiment.config_init.machine, trainer.strategy.root_device.type
    print(f"machine: {machine.describe(device, trainer.precision, channels_last)}", flush=True)


@rank_zero_only
def print_summary(experiment: Experiment, seconds: float) -> None:
    """Say what was reached, how fast, and where the run is.

    Args:
        experiment: what was trained.
        seconds: wall time of training and testing.
    """
    run, rows = experiment.run, experiment.table.rows
    epochs = [row for row in rows if not row.get("test/loss")]
    if not epochs:
        return  # a trial such as fast_dev_run writes nothing down
    best = int(load_checkpoint(run.best)["epoch"]) if run.best.exists() else int(epochs[-1]["epoch"])
    reached = next((row for row in epochs if int(row["epoch"]) == best), epochs[-1]) | {
        k: v for k, v in rows[-1].items() if "test/" in k
    }
    print_metrics(reached)
    throughput = median(float(row.get("images_per_second", 0)) for row in epochs)
    print(f"best epoch  {best} of 0..{int(epochs[-1]['epoch'])}")
    print(f"wall time   {seconds:.1f} s")
    print(f"throughput  {throughput:,.0f} training images/s")
    print(f"run         {os.path.relpath(run.path)}")


def print_metrics(values: Mapping[str, Any]) -> None:
    """Print a table of loss and accuracy, a row a part of the data."""
    names = list(dict.fromkeys(name.split("/")[1] for name in values if name.split("/")[0] in PARTS))
    print(f"\n{'':<12}" + "".join(f"{name:>10}" for name in names))
    for part, title in PARTS.items():
        cells = [values.get(f"{part}/{name}") for name in names]
        if any(cell is not None for cell in cells):
            print(
                f"{title:<12}" + "".join(f"{'' if cell is None else format(float(cell), '.4f'):>10}" for cell in cells)
            )
