"""Measure a run's checkpoint on the validation and test sets."""

import json
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from lamphouse.callbacks import samples_of
from lamphouse.checkpoints import load_checkpoint
from lamphouse.cli.commands.confusion import ConfusionCount
from lamphouse.cli.commands.ensemble import average
from lamphouse.cli.commands.other_data import explained, take_as_own
from lamphouse.cli.diagnosis import loading
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.data import TensorDataModule
from lamphouse.errors import InputError, short_path
from lamphouse.files import user_path, write_whole
from lamphouse.runs.directory import Run
from lamphouse.runs.report import class_names, data_text, lacks, print_metrics, unit

PARTS: tuple[Literal["val", "test"], ...] = ("val", "test")


def main(project: Project, args: Sequence[str]) -> dict[str, float]:
    """Print and return the metrics of a checkpoint; options of the experiment can be overridden."""
    options, run, rest = _parser(project).parse_run(args)
    path = options.checkpoint
    experiment, checkpoint = restored(project, "evaluate", run, path, rest)
    missing = {part: lacks(part, experiment.model, experiment.datamodule) for part in PARTS}
    if all(missing.values()):
        raise InputError(f"--run {run.path}: nothing to evaluate without {' or '.join(map(str, missing.values()))}")
    experiment.load_data()
    model, data, trainer = experiment.model, experiment.datamodule, experiment.trainer
    if other := take_as_own(experiment, run, path, rest):
        missing["val"] = "what the run was trained on"  # a part of other data is no different from the rest
    if options.ensemble:
        average(project, model, data, options.ensemble)
    samples, confusion = SampleCount(), ConfusionCount(class_names(data))
    trainer.callbacks += [samples, confusion]  # type: ignore[attr-defined]  # set by a connector
    values = _measured(experiment, path, [part for part in PARTS if not missing[part]], bool(options.ensemble))
    if trainer.is_global_zero:
        measured = {"epoch": checkpoint["epoch"], "steps": checkpoint["global_step"], "samples": dict(samples.counts)}
        print_origin(run, path, measured)
        if other:
            print(f"data        {data_text(data)}: not the run's own; its classes and normalization are")
        print_metrics(values, samples.texts(data))
        found = {**measured, "options": rest, "metrics": values, **confusion.print()}
        more = [*(rest if other else []), *(["--ensemble", *map(str, options.ensemble)] if options.ensemble else [])]
        write(run.path / "evaluation.json", path, f" with {shlex.join(more)}" if more else "", found)
        if experiment.config.pictures and not options.ensemble:
            import_module("lamphouse.cli.commands.pictures").log_again(experiment, run, checkpoint)
    return values


def _parser(project: Project) -> CommandParser:
    description = "Measure a checkpoint, also on other --data, and write evaluation.json; options are those of fit."
    parser = CommandParser(project, "evaluate", description, checkpoint=True)
    which = "further runs, or checkpoints in their directories: measure the mean of what all their models predict"
    parser.add_argument("--ensemble", type=user_path, nargs="+", default=[], help=which)
    return parser


def _measured(experiment: Experiment, path: Path, parts: Sequence[str], is_loaded: bool) -> dict[str, float]:
    trainer, values = experiment.trainer, dict[str, float]()
    evaluate = {"val": trainer.validate, "test": trainer.test}
    file = None if is_loaded else str(path)
    with loading(path):
        for part in parts:
            for result in evaluate[part](
                experiment.model, experiment.datamodule, ckpt_path=file, weights_only=True, verbose=False
            ):
                values |= result
    return values


def print_origin(run: Run, path: Path, measured: Mapping[str, Any]) -> None:
    """Say which checkpoint of which run was measured."""
    print(f"run         {short_path(run.path)}")
    print(f"checkpoint  {path.name}, epoch {measured['epoch']}, {measured['steps']:,} steps")


def restored(
    project: Project, command: str, run: Run, path: Path, options: Sequence[str]
) -> tuple[Experiment, Mapping[str, Any]]:
    """Return a run's experiment, with further options and the weights of a checkpoint, and the checkpoint."""
    checkpoint = load_checkpoint(path)
    unasked = ("--pictures", "false")  # for the run itself has shown them
    try:
        experiment = Experiment(project, command, ["-c", str(run.config), *unasked, *options])
    except InputError as error:
        raise explained(error, run, options) from error
    experiment.check_weights(checkpoint, path)
    return experiment, checkpoint


def write(file: Path, checkpoint: Path, on: str, measured: dict[str, Any]) -> None:
    """Write what was measured beside the results of the run's other checkpoints; say so if that is impossible."""
    results: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        results = dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    path, folder = checkpoint.resolve(), file.resolve().parent
    name = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
    try:
        write_whole(file, json.dumps({**results, f"{name}{on}": measured}, indent=2) + "\n")
        print(f"\nwritten to {short_path(file)}")
    except OSError as error:
        print(f"warning: {short_path(file)}: not written: {error.strerror}", file=sys.stderr)


class SampleCount(Callback):
    """Counts the samples that each part of the data was measured on, in all processes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.counts["test" if trainer.testing else "val"] += samples_of(batch)

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        part = "test" if trainer.testing else "val"
        count = torch.tensor(self.counts[part], device=pl_module.device)
        self.counts[part] = int(trainer.strategy.reduce(count, reduce_op="sum"))

    on_test_end = on_validation_end

    def texts(self, data: LightningDataModule) -> dict[str, str]:
        """Say how many samples were measured, and of how many, if that is less."""
        parts = data.parts if isinstance(data, TensorDataModule) else {}
        sizes = {part: max(count, len(parts.get(part, ()))) for part, count in self.counts.items()}
        of = {part: "" if size == self.counts[part] else f" of {size:,}" for part, size in sizes.items()}
        return {part: f"{count:,}{of[part]} {unit(data)}" for part, count in self.counts.items()}
