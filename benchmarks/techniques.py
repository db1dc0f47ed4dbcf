"""What each technique does to training on MNIST: a row for each option, several seeds, the ordinary command."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from benchmarks import ours
from benchmarks.mnist_files import Files, mnist_files
from benchmarks.options import Options
from benchmarks.processes import Process
from benchmarks.tables import Table

NAME = "tutorial_mnist_mlp"
GOAL = 0.97  # of validation accuracy
NONE = ""  # no option more than the others have

Runs = dict[str, list[Process]]  # of each setting, one for each seed
Figure = Callable[[Process], float]


def last(name: str) -> Figure:
    """Return a function that reads the last value of a metric; an accuracy in percent."""
    return lambda run: curve(run, name)[-1]


def curve(run: Process, name: str) -> list[float]:
    """Read a metric epoch by epoch; an accuracy in percent."""
    factor = 100 if name.endswith("acc") else 1
    return [factor * float(row[name]) for row in run.metrics if row[name]]


def epochs_to_goal(run: Process) -> float:
    """Count the epochs after which the validation accuracy was reached, infinite if it was not."""
    reached = (epoch for epoch, value in enumerate(curve(run, "val/acc"), start=1) if value >= 100 * GOAL)
    return next(reached, float("inf"))


def norms(run: Process, name: str = "norm") -> list[float]:
    """Read the norms of the gradients, step by step; clipped ones only where gradients are clipped."""
    return [float(row[f"gradients/{name}"]) for row in run.steps if row.get(f"gradients/{name}")]


TEST = {"test/acc, %": (last("test/acc"), ".2f")}
LOSS = {"last val/loss": (last("val/loss"), ".4f")}
TRAIN = {"last train/loss": (last("train/loss"), ".4f")}
COST = {"CPU time of the process, s": (lambda run: run.cpu_seconds, ".1f")}


@dataclass(frozen=True)
class Part:
    """A table: settings that are compared.

    Args:
        title: what they are.
        base: options that all of them share.
        settings: the options of each.
        columns: a figure of a run, and its format.
        data: class of the data, if it is not MNIST's.
    """

    title: str
    base: str
    settings: Sequence[str]
    columns: Mapping[str, tuple[Figure, str]]
    data: str = ""


SCHEDULES = {
    "constant": NONE,
    "StepLR, 0.7": "--model.lr_scheduler StepLR --model.lr_scheduler.step_size 1 --model.lr_scheduler.gamma 0.7",
    "cosine": "--model.lr_scheduler WarmupCosineLR",
    "OneCycle": "--model.lr_scheduler OneCycle",
    "plateau": "--model.lr_scheduler ReduceLROnPlateau --model.lr_scheduler.patience 0",
}
PARTS = (
    Part(
        "Schedules",
        "--model.optimizer.lr 0.5 --data.val_fraction 0.1 --trainer.max_epochs 6",
        [*SCHEDULES.values()],
        {"last lr": (last("lr"), ".3f"), f"epochs to {GOAL:.0%} val/acc": (epochs_to_goal, ".1f"), **LOSS, **TEST},
    ),
    Part(
        "Early stopping",
        "--model.optimizer.lr 0.5 --data.val_fraction 0.1 --trainer.max_epochs 15 --early_stopping.patience 2 "
        "--best_checkpoint.monitor val/acc",
        ["--early_stopping.monitor val/loss", "--early_stopping.monitor val/acc"],
        {
            "epochs trained": (lambda run: len(curve(run, "lr")), ".1f"),
            **LOSS,
            "best val/acc, %": (lambda run: max(curve(run, "val/acc")), ".2f"),
            **TEST,
        },
    ),
    Part(
        "Gradient clipping",
        "--model.optimizer.lr 2 --data.val_fraction 0.1 --trainer.max_epochs 2 --gradient_norms 10",
        [NONE, "--trainer.gradient_clip_val 1", "--trainer.gradient_clip_val 0.1"],
        {
            "median norm": (lambda run: median(norms(run)), ".2f"),
            "largest": (lambda run: max(norms(run)), ".2f"),
            "largest after clipping": (lambda run: max(norms(run, "clipped_norm") or norms(run)), ".2f"),
            **TRAIN,
            **TEST,
        },
    ),
    Part(
        "Precision",
        "--model.optimizer.lr 0.1 --data.batch_size 256 --trainer.max_epochs 1",
        ["--trainer.precision 32-true", "--trainer.precision bf16-mixed", "--trainer.precision 16-mixed"],
        {**TRAIN, **TEST, **COST},
    ),
    Part(
        "Precision, with a wider network",
        "--model.hidden_sizes [1024] --model.optimizer.lr 0.1 --data.batch_size 256 --trainer.max_epochs 1",
        ["--trainer.precision 32-true", "--trainer.precision bf16-mixed"],
        {**TRAIN, **TEST, **COST},
    ),
    Part(
        "Regularization, with 1,200 training images",
        "--model.optimizer.lr 0.1 --data.val_fraction 0.98 --trainer.max_epochs 40 "
        "--trainer.check_val_every_n_epoch 40",
        [
            NONE,
            "--model.l1 0.0003",
            "--model.optimizer.weight_decay 0.01",
            "--model.dropout 0.5",
            "--model.label_smoothing 0.1",
            "--data.augment [MixUp]",
            "--data.augment [CutMix]",
        ],
        {
            "accuracy on these, %": (last("test/acc"), ".2f"),
            "on 58,800 others, %": (last("val/acc"), ".2f"),
            "gap, %": (lambda run: last("test/acc")(run) - last("val/acc")(run), ".2f"),
            "loss on the others": (last("val/loss"), ".4f"),
        },
        "benchmarks.mnist_parts.SmallMNIST",
    ),
    Part(
        "Class weights, with a fiftieth of the training images of 5 to 9",
        "--model.optimizer.lr 0.1 --data.val_fraction 0.1 --trainer.max_epochs 2",
        [NONE, "--model.class_weights [1,1,1,1,1,50,50,50,50,50]"],
        {"val/acc, as uneven, %": (last("val/acc"), ".2f"), **TEST},
        "benchmarks.mnist_parts.UnevenMNIST",
    ),
)


def tables(options: Options) -> Iterator[Table]:
    """Train with each setting and seed; a setting is what one adds to the options that its table names."""
    with mnist_files(options) as files:
        for part in PARTS:
            runs = trained(part, options, files)
            if options.picture and part.title == "Schedules":
                draw(options.picture, {name: runs[given] for name, given in SCHEDULES.items() if given in runs})
            title = f"{part.title}: `{part.base}`, {files.name}, seeds 0 to {options.repeats - 1}"
            table = Table(title, ["", *part.columns])
            for setting, of in runs.items():
                cells = (spread([figure(run) for run in of], form) for figure, form in part.columns.values())
                table.add(f"`{setting}`" if setting else "none", *cells)
            yield table


def trained(part: Part, options: Options, files: Files) -> Runs:
    """Train seed by seed, so that other load on the machine affects all settings; in a quick run the last one only."""
    data = ["--data", part.data, "--data.data_dir", files.folder] if part.data else files.options
    few = ["--trainer.max_epochs", 1, "--trainer.check_val_every_n_epoch", 1] if options.quick else []
    runs: Runs = {setting: [] for setting in part.settings[-1 if options.quick else 0 :]}
    for seed in range(options.repeats):
        for setting, of in runs.items():
            of.append(ours.fit(NAME, *data, *part.base.split(), *setting.split(), *few, "--seed_everything", seed))
    return runs


def spread(values: Sequence[float], form: str) -> str:
    """Format mean and standard deviation."""
    if not all(map(isfinite, values)):
        return "not always"
    return f"{mean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


def draw(path: Path, runs: Runs) -> None:
    """Plot the mean validation loss of each epoch, in colors that show on light and on dark pages."""
    from matplotlib import rc_context  # noqa: PLC0415  # not needed for the tables
    from matplotlib.figure import Figure as Drawing  # noqa: PLC0415  # slow to import

    grey: Any = {f"{part}color": "#808080" for part in ("axes.edge", "axes.label", "text.", "xtick.", "ytick.")}
    with rc_context({**grey, "svg.fonttype": "none", "svg.hashsalt": path.name}):
        figure = Drawing(figsize=(6, 3.2), layout="constrained")
        axes = figure.subplots()
        for name, of in runs.items():
            losses = [mean(values) for values in zip(*(curve(run, "val/loss") for run in of), strict=True)]
            axes.plot(range(1, len(losses) + 1), losses, marker=".", label=name)
        axes.set(xlabel="epoch", ylabel="validation loss", facecolor="none")
        axes.legend(framealpha=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100, transparent=True, metadata={"Date": None} if path.suffix == ".svg" else None)
