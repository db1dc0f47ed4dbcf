"""Export a run's model to a file that others can use."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from lamphouse.checkpoints.files import load_checkpoint, write_checkpoint
from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.commands.evaluate import restored
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.data import ImageDataModule, TensorDataModule
from lamphouse.errors import InputError, short_path
from lamphouse.export import FORMATS, Deployed, export, model_card, push
from lamphouse.files import user_path, write_whole, written_whole
from lamphouse.loggers import MetricsTable
from lamphouse.metrics import class_probabilities
from lamphouse.runs.directory import Run, check_entries
from lamphouse.runs.report import class_names, data_text, results

SAMPLES = 64  # of the test set, on which the exported model is compared with the checkpoint
NOT_OF_THE_NETWORK = ("optimizer", "lr_scheduler", "metrics", "compile", "channels_last")  # options of a model
TOLD = (
    *("seed_everything", "loop", "ema", "trainer.max_epochs", "trainer.precision", "data.batch_size"),
    *("model.optimizer", "model.optimizer.lr", "model.lr_scheduler"),
)


def main(project: Project, args: Sequence[str]) -> None:
    """Write a run's model to a file, checked against the checkpoint."""
    options, run, rest = _parser(project).parse_run(args)
    if options.push_to and options.format != "safetensors":
        raise InputError(f"--push_to {options.push_to}: hubs take weights: use --format safetensors")
    if not options.output:
        check_entries(run)
    folder = options.output or run.path / "export"
    if options.format == "ckpt":
        _write_checkpoint(options.checkpoint, folder / "model.ckpt")
        return
    experiment, checkpoint = restored(project, "export", run, options.checkpoint, rest)
    inputs, part = _inputs(experiment)
    deployed = deployed_model(experiment, inputs)
    content, difference = export(options.format, deployed, inputs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {folder}: {error.strerror}: choose another directory") from error
    path = folder / f"model.{options.format}"
    replaced = " in place of the earlier one" if path.exists() else ""
    with written_whole(path) as file:
        file.write(content)
    if options.format == "safetensors":
        write_whole(folder / "README.md", _card(experiment, run, checkpoint, deployed, options.checkpoint == run.best))
        write_whole(folder / "config.yaml", run.config.read_text(encoding="utf-8"))
    what = f"{len(content):,} bytes, {deployed.output} differ by at most {difference:.1e} from the checkpoint's"
    print(f"{path}{replaced}: {what} on {len(inputs)} {part} samples")
    if options.push_to:
        print(push(folder, options.push_to))


def _parser(project: Project) -> CommandParser:
    description = "Export a run's model; further options are those of fit, such as --data.data_dir."
    parser = CommandParser(project, "export", description, checkpoint=True)
    formats = "format of the file (default: onnx); ckpt is a checkpoint, also of a model that was sharded"
    parser.add_argument("--format", choices=[*FORMATS, "ckpt"], default="onnx", help=formats)
    parser.add_argument("--output", type=user_path, help="directory (default: export in the run's directory)")
    parser.add_argument("--push_to", metavar="USER/NAME", help="upload weights and model card to a hub")
    return parser


def _write_checkpoint(checkpoint: Path, path: Path) -> None:
    """Write a checkpoint, which may be a directory of shards, as one file."""
    write_checkpoint(load_checkpoint(checkpoint), path)
    print(f"{path}: {path.stat().st_size:,} bytes, all of {short_path(checkpoint)}")


@torch.no_grad()  # and no inference mode, whose tensors cannot be exported
def deployed_model(experiment: Experiment, inputs: Tensor) -> Deployed:
    """Put the preprocessing of its data before a model, and the names of its classes beside it if it classifies.

    Raises:
        InputError: the model takes no such inputs.
    """
    model, data = experiment.model, experiment.datamodule
    preprocess = data.preprocess if isinstance(data, ImageDataModule) else None
    deployed = Deployed(model, preprocess)
    try:
        outputs = deployed(inputs)
    except Exception as error:  # of a user's code, which may raise anything
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"--model {type(model).__name__}: forward computes no outputs from inputs: {reason}"
        ) from error
    probabilities = class_probabilities(outputs, getattr(data, "num_classes", 0))
    if probabilities is None:
        return deployed
    return Deployed(model, preprocess, class_names(data), softmax=not torch.equal(probabilities, outputs))


def _inputs(experiment: Experiment) -> tuple[Tensor, str]:
    """Fetch real inputs, and name the part of the data that they are of: test, or validation if there is no test."""
    experiment.load_data()
    data: Any = experiment.datamodule
    part = "test" if is_overridden("test_dataloader", data) else "validation"
    if isinstance(data, TensorDataModule):
        return data.parts["test" if part == "test" else "val"][:SAMPLES][0], part
    batch = next(iter(data.test_dataloader() if part == "test" else data.val_dataloader()))
    inputs = batch[0] if isinstance(batch, list | tuple) else batch
    if not isinstance(inputs, Tensor):
        kind = type(inputs).__name__
        raise InputError(f"--data {type(data).__name__}: inputs are {kind}: models of one tensor can be exported")
    return inputs[:SAMPLES].cpu(), part


def _card(experiment: Experiment, run: Run, checkpoint: Mapping[str, Any], deployed: Deployed, is_best: bool) -> str:
    options, data, rows = read_file(run.config), experiment.datamodule, MetricsTable(run.metrics).rows
    model = {"init_args": {}, **options["model"]}
    arguments = {name: value for name, value in model["init_args"].items() if name not in NOT_OF_THE_NETWORK}
    reached = results(rows, checkpoint, is_best)
    metrics = {name: value for name, value in reached.items() if name.startswith(("val/", "test/"))}
    licence = None
    with suppress(PackageNotFoundError):
        licence = metadata(experiment.project.package)["License-Expression"]
    task = "image-classification" if isinstance(data, ImageDataModule) and deployed.classes else None
    texts = (_usage(data, deployed), licence, task)
    told = {key: value for key, value in _told(options) if value is not None}
    return model_card(options["experiment"], model["class_path"], arguments, data_text(data), metrics, told, *texts)


def _usage(data: Any, deployed: Deployed) -> str:
    outputs = f"It returns the logits of the classes {', '.join(deployed.classes)}." if deployed.classes else ""
    if not isinstance(data, ImageDataModule):
        return outputs
    shape, mean, std = list(data.model_shape), [round(m, 6) for m in data.mean], [round(s, 6) for s in data.std]
    inputs = f"The model takes images, float32 [B, {str(shape)[1:-1]}], with values 0..1 from which"
    return f"{inputs} the mean {mean} is subtracted, divided by the standard deviation {std} per channel. {outputs}"


def _told(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the options that a reader wants to know: plain values, and the names of classes."""
    for option in TOLD:
        value: Any = options
        for key in option.split("."):
            value = value.get("init_args", value).get(key) if isinstance(value, Mapping) else None
        yield option, value.get("class_path") if isinstance(value, Mapping) else value
