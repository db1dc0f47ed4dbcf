"""Models of runs, built from their checkpoints alone, and the mean of what they predict."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import instantiate_module
from PIL import Image
from torch import Tensor, nn

from lamphouse.checkpoints import load_checkpoint
from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.project import Project, import_user_module
from lamphouse.errors import InputError
from lamphouse.machine.memory import out_of_memory
from lamphouse.metrics import class_probabilities
from lamphouse.runs.directory import Run, find_run
from lamphouse.runs.report import class_names
from lamphouse.task import Task

NOT_FOR_PREDICTION = ("augment", "lr_scheduler", "metrics", "optimizer")  # options of model and data


class Ensemble:
    """The models of several checkpoints of several runs, mostly of one; they have read the same kind of data.

    Args:
        project: whose models and data sets are imported.
        runs: directories of runs.
        checkpoints: of each run, "best" or "last"; or files, of a single run.
        device: where to predict.

    Raises:
        InputError: a checkpoint is not of its run, the data reads no files, or runs are of different data.
    """

    def __init__(self, project: Project, runs: Sequence[Run], checkpoints: Sequence[str], device: torch.device) -> None:
        self.device, self.paths = device, []
        self.members: list[tuple[Any, Any]] = []  # model and data
        for run in runs:
            options = import_classes(project, run.config)
            for name in checkpoints:
                if name not in {"best", "last"} and len(runs) > 1:
                    raise InputError(f"--checkpoint {name}: a file is of one run: give one --run, or best and last")
                self.paths.append(run.checkpoint(name))
                model, data = restore(self.paths[-1], options)
                if not hasattr(data, "read_samples"):
                    way_out = "define read_samples(path), which returns a file's samples, [N, ...]"
                    raise InputError(f"--run {run.path}: {type(data).__name__} reads no files: {way_out}")
                self.members.append((model.to(device), data))
                if _kind(data) != _kind(self.data):
                    raise InputError(f"--run {run.path}: of other data than {runs[0].path}: predict with each alone")
        self.count = getattr(self.data, "num_classes", 0)
        self.classes = class_names(self.data)

    @property
    def data(self) -> Any:
        """The data that reads samples for all members."""
        return self.members[0][1]

    @torch.inference_mode()
    def predict(self, names: Sequence[str], samples: Tensor) -> tuple[Tensor, bool]:
        """Return probabilities of classes, or other outputs, the mean over all models, and whether they are the former.

        Raises:
            InputError: a model takes no such samples, or returns no tensor [N, ...].
        """
        outputs = [self._outputs(model, data, names, samples) for model, data in self.members]
        probabilities = [class_probabilities(values, self.count) for values in outputs]
        classifies = all(values is not None for values in probabilities)
        try:
            return torch.stack(probabilities if classifies else outputs).mean(0).cpu(), classifies  # type: ignore[arg-type]
        except RuntimeError as error:
            raise InputError("--run: the models' outputs have different shapes: predict with each alone") from error

    def pictures(self, outputs: Tensor) -> Sequence[Image.Image] | None:
        """Draw outputs as the models' task does, if it does."""
        model, _ = self.members[0]
        return model.pictures(outputs) if isinstance(model, Task) else None

    def _outputs(self, model: Any, data: Any, names: Sequence[str], samples: Tensor) -> Tensor:
        try:
            targets = torch.zeros(len(names), dtype=torch.long, device=self.device)
            inputs, *_ = data.on_after_batch_transfer((samples.to(self.device), targets), 0)
            outputs = model(inputs)
        except (IndexError, NotImplementedError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            shape, reason = list(samples.shape[1:]), str(error).splitlines()[0]
            raise InputError(
                f"{names[0]}: the model predicts no sample of shape {shape} ({reason}): give others"
            ) from error
        if not isinstance(outputs, Tensor) or outputs.shape[:1] != (len(names),):
            raise InputError(f"--run: {type(model).__name__}.forward returns no tensor [N, ...], which predict needs")
        return outputs


class MeanNetwork(nn.Module):
    """The mean of what networks predict: of probabilities, as logits, where they have an output for each class."""

    def __init__(self, networks: Sequence[nn.Module], num_classes: int) -> None:
        super().__init__()
        self.networks, self.num_classes = nn.ModuleList(networks), num_classes

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = [network(inputs) for network in self.networks]
        probabilities = [found for one in outputs if (found := class_probabilities(one, self.num_classes)) is not None]
        if len(probabilities) == len(outputs):
            return torch.stack(probabilities).mean(0).log()
        return torch.stack(outputs).mean(0)


def average(project: Project, model: Any, data: Any, members: Sequence[Path]) -> None:
    """Replace a task's network by the mean of it and of those of other runs, or checkpoints in their directories.

    Raises:
        InputError: the model is no `Task`, or a member has another kind of data.
    """
    if not isinstance(model, Task):
        raise InputError(f"--ensemble {members[0]}: {type(model).__name__} is no Task, whose network it averages")
    networks = [model.network]
    for member in members:
        run = find_run(member if member.is_dir() else member.parent)
        other, its_data = restore(run.best if member.is_dir() else member, import_classes(project, run.config))
        if _kind(its_data) != _kind(data) or not isinstance(other, Task):
            raise InputError(f"--ensemble {member}: a model of other data: leave it out")
        networks.append(other.network)
    model.network = MeanNetwork(networks, getattr(data, "num_classes", 0))


def _kind(data: Any) -> tuple[Any, ...]:
    names = ("input_shape", "classes", "num_classes")
    return (type(data), *(str(getattr(data, name, None)) for name in names))


def import_classes(project: Project, config: Path) -> dict[str, Any]:
    """Import the classes of the run's model and data, as options name no others; return the options."""
    project.import_parts()
    options = read_file(config)
    for part in ("model", "data"):
        given = options.get(part)
        module = str(given.get("class_path") if isinstance(given, dict) else given).rpartition(".")[0]
        if module.partition(".")[0] in {*sys.stdlib_module_names, ""}:  # whose code must not run
            raise InputError(f"{config}: has no {part} of a class: give another run")
        import_user_module(module)
    return options


def restore(checkpoint: Path, options: dict[str, Any]) -> tuple[Any, Any]:
    """Build model and data as the run's configuration says, whatever the checkpoint names, and load their states."""
    content = load_checkpoint(checkpoint)
    try:
        built: list[Any] = [
            instantiate_module(kind, {"_class_path": options[part]["class_path"], **_needed(options[part])})
            for part, kind in (("model", LightningModule), ("data", LightningDataModule))
        ]
        model, data = built
        model.on_load_checkpoint(content)
        model.load_state_dict(content["state_dict"])
        if (name := type(data).__qualname__) in content:
            data.load_state_dict(content[name])
    except Exception as error:  # another project's checkpoint raises all kinds of errors
        raise InputError(f"{checkpoint}: not a checkpoint of this project: use one that a run wrote") from error
    return model.eval(), data


def _needed(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (spec.get("init_args") or {}).items() if name not in NOT_FOR_PREDICTION}
