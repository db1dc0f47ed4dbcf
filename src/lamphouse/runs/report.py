"""What a run prints at its beginning and at its end."""

import re
import sys
from collections.abc import Mapping, Sequence
from shutil import get_terminal_size
from statistics import mean, median, stdev
from textwrap import fill
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.model_helpers import is_overridden

from lamphouse.data import ImageDataModule, TensorDataModule
from lamphouse.errors import short_path
from lamphouse.runs.directory import Run

NO_METRICS = {"epoch", "step", "lr", "samples_per_second", "seconds"}  # columns of metrics.csv
PARTS = {"train": "train", "val": "validation", "test": "test"}


@rank_zero_only
def print_header(
    title: str, model: LightningModule, data: LightningDataModule, trainer: Trainer, run: Run, machine: str
) -> None:
    """Say what is trained, on what and where."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    where = f"{trainer.strategy.root_device}, {trainer.precision}, run {run.name}"
    described = data.describe() if isinstance(data, TensorDataModule) else ()
    print_wrapped(f"{title} of {parameters:,} parameters on {data_text(data)}, {where}", *described)
    print_wrapped(f"machine: {machine}")


def print_wrapped(*lines: str) -> None:
    """Print lines; on a terminal, those that are longer than it is wide are wrapped between words."""
    width = get_terminal_size().columns if sys.stdout.isatty() else 10**6
    for line in lines:
        print(fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False), flush=True)


def data_text(data: LightningDataModule) -> str:
    """Name a data set and, if it is in memory, the sizes of its parts."""
    name = type(data).__name__
    if not isinstance(data, TensorDataModule):
        return name
    sizes = ", ".join(f"{len(samples):,} {PARTS[part]}" for part, samples in data.parts.items())
    return f"{name} ({sizes} {unit(data)})"


def unit(data: LightningDataModule) -> str:
    """Say what samples of a data set are called."""
    return "images" if isinstance(data, ImageDataModule) else "samples"


def class_names(data: Any) -> list[str]:
    """Return the names of the classes of a data set, or else their indices."""
    return [str(name) for name in getattr(data, "classes", None) or range(getattr(data, "num_classes", None) or 0)]


def epoch_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of a run but those of the test."""
    return [row for row in rows if not _tested(row)]


def best_row(rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the row of what a checkpoint, `best`, was saved for, or else of the last epoch; of the rows of a run."""
    epochs = epoch_rows(rows)
    of_epoch = [row for row in epochs if best is None or int(row["epoch"]) == best["epoch"]] or epochs
    measured = (row for row in of_epoch if best and int(row["step"]) + 1 == best["global_step"])
    return next(measured, of_epoch[-1] if of_epoch else {})


def results(
    rows: Sequence[Mapping[str, Any]], checkpoint: Mapping[str, Any] | None, is_best: bool = True
) -> dict[str, float]:
    """Return the metrics of what a checkpoint was saved for, or else of the last epoch, and of the best the test's."""
    measured = {**best_row(rows, checkpoint), **(_tested(rows[-1]) if rows and is_best else {})}
    return {name: float(value) for name, value in measured.items() if name not in NO_METRICS}


def spread(values: Sequence[float]) -> str:
    """Write the mean of values and, of several, their standard deviation, that of a sample (n - 1)."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def print_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table with columns as wide as their longest cell."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    for line in (header, *lines):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


@rank_zero_only
def print_summary(
    run: Run,
    rows: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any] | None,
    wall_time: str,
    samples: str = "samples",
    ended: str | None = None,
    monitor: str | None = None,
) -> dict[str, float]:
    """Print and return the metrics of the best checkpoint by a metric, or else of the last epoch, and of the test."""
    epochs = epoch_rows(rows)
    if not epochs:
        return {}  # fast_dev_run logs nothing
    reached = best_row(rows, best)
    metrics = results(rows, best)
    print_metrics(metrics)
    throughput = median([float(row["samples_per_second"]) for row in epochs if "samples_per_second" in row] or [0])
    within = "" if "samples_per_second" in reached else f", step {reached['step']}"
    kind = "best" if best and monitor in reached else "last"
    print(f"{kind} epoch  {reached['epoch']} of 0..{epochs[-1]['epoch']}{within}")
    print(f"ended       {ended}")
    print(f"wall time   {wall_time}")
    print(f"throughput  {throughput:,.0f} training {samples}/s")
    print(f"run         {short_path(run.path)}")
    return metrics


def _tested(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith("test")}


def lacks(part: Literal["val", "test"], model: LightningModule, data: LightningDataModule) -> str | None:
    """Name the method of the model or the data without which there is no evaluation on a part of the data."""
    step = "validation_step" if part == "val" else "test_step"
    owners: Any = ((step, model), (f"{part}_dataloader", data))
    return next((f"{type(owner).__name__}.{name}" for name, owner in owners if not is_overridden(name, owner)), None)


def print_metrics(values: Mapping[str, float], counts: Mapping[str, str] | None = None) -> None:
    """Print a table of metrics, named such as "val/loss" or "val_loss", with a row for each part of the data.

    `counts` says for each part on how many samples they were measured; other metrics are printed one by one.
    """
    found = {name: re.fullmatch(r"(train|val|test)[/_](.+)", name) for name in values}
    cells = {(match[1], match[2]): f"{values[name]:.4f}" for name, match in found.items() if match}
    for part, count in (counts or {}).items():
        cells[part, "measured on"] = count
    names = list(dict.fromkeys(name for _, name in cells))
    longest = {name: max(len(text) for (_, of), text in cells.items() if of == name) for name in names}
    widths = {name: max(10, len(name) + 2, longest[name] + 2) for name in names}
    print(f"\n{'':<12}" + "".join(f"{name:>{widths[name]}}" for name in names))
    for part in [part for part in PARTS if any(part == of for of, _ in cells)]:
        print(f"{PARTS[part]:<12}" + "".join(f"{cells.get((part, name), ''):>{widths[name]}}" for name in names))
    for name in [name for name, match in found.items() if not match]:
        print(f"{name:<12}{values[name]:>10.4f}")
