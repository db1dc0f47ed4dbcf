"""Fine-tuning on one half of CIFAR-10's classes what was trained on the other, against training from scratch."""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory

from benchmarks import ours
from benchmarks.options import Options
from benchmarks.processes import ROOT, Process
from benchmarks.tables import Table

FEW = (10, 50)  # images of each class
EPOCHS, FROZEN = 20, 5
SETTINGS: dict[str, tuple[object, ...] | None] = {  # beside the weights to begin with
    "from scratch": None,
    "all layers": (),
    "head only": ("--model.freeze_epochs", EPOCHS),
    f"head only for {FROZEN} epochs, then the others at a tenth of its rate": (
        *("--model.freeze_epochs", FROZEN, "--model.backbone_lr_factor", 0.1),
    ),
}


def tables(options: Options) -> Iterator[Table]:
    """Train on the first half with a seed for each repeat, and from there on the second."""
    name, count, few = ("the digits", 1, FEW[1:]) if options.quick else ("CIFAR-10", options.repeats, FEW)
    title = f"Test accuracy on five classes of {name}, mean and standard deviation over seeds: {count}"
    table = Table(title, ["", *(f"{images} images a class" for images in few), "s of CPU, the last"])
    with TemporaryDirectory() as folder:
        for seed in range(count):
            pretrain(Path(folder, str(seed)), seed, options.quick)
        for setting, own in SETTINGS.items():
            begin = [() if own is None else ("--model.init_from", Path(folder, str(seed))) for seed in range(count)]
            runs = [
                [finetune(images, seed, options.quick, *begin[seed], *(own or ())) for seed in range(count)]
                for images in few
            ]
            table.add(setting, *map(accuracy, runs), f"{mean(run.cpu_seconds for run in runs[-1]):.1f}")
    yield table


def pretrain(runs: Path, seed: int, quick: bool) -> Process:
    """Train on 2,000 images of each class of the first half, in a directory of runs."""
    size = ("--trainer.max_epochs", 1 if quick else 6, "--data.images", 2000)
    return fit(seed, quick, "--data.half", "first", *size, "--runs", runs)


def finetune(images: int, seed: int, quick: bool, *options: object) -> Process:
    """Train on a few images of each class of the second half."""
    size = ("--trainer.max_epochs", 1 if quick else EPOCHS, "--data.images", images, "--data.batch_size", 16)
    rate = ("--model.optimizer.lr", 0.05, "--data.val_fraction", 0.2)
    return fit(seed, quick, "--data.half", "second", *size, *rate, *options)


def fit(seed: int, quick: bool, *options: object) -> Process:
    """Train a small network on half of the classes."""
    kind = "HalfOfDigits" if quick else "HalfOfCIFAR10"
    data = ("--data", f"benchmarks.half.{kind}", *(() if quick else ("--data.data_dir", ROOT / "data")))
    network = ("--model.depth", 8, "--model.width", 16, "--machine.threads", 1)
    return ours.fit("cifar10_resnet", *data, *network, "--seed_everything", seed, *options)


def accuracy(runs: list[Process]) -> str:
    """Format the test accuracy of runs."""
    reached = [100 * float(run.metrics[-1]["test/acc"]) for run in runs]
    return f"{mean(reached):.1f} ± {stdev(reached):.1f} %" if len(runs) > 1 else f"{reached[0]:.1f} %"
