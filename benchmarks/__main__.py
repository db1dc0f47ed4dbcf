"""The command line of the benchmarks: `python -m benchmarks [NAME ...]`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from benchmarks.machine import describe
from benchmarks.options import Options

BENCHMARKS = {  # one module each, with a function `tables(options)`
    "start": "whole process of a fit of one step, against LightningCLI",
    "step": "1,000 steps of each loop, against Lightning",
    "mnist": "whole process up to the tutorial's accuracy, against its loop",
    "gpt": "shakespeare_gpt, against a plain loop",
    "techniques": "effect of schedules, early stopping, clipping, precision and regularization",
    "cifar10": "cifar10_speedrun with a seed for each repeat",
    "everyday": "ResNet-18 on CIFAR-10 and at 224 pixels, against a plain loop",
    "finetune": "one half of CIFAR-10's classes from a run on the other, against training from scratch",
    "knobs": "effect of allocator, threads, precision and memory format",
    "memory": "peak memory of a run, against Lightning's",
    "loader": "images/s of the data path, against a training step",
    "scale": "data in memory, up to 100 times MNIST's size",
    "scaling": "DDP in 1, 2 and 4 processes, and an estimate for 8 to 1,024 GPUs",
    "many_epochs": "5,000 epochs of one step: the second half against the first",
    "many_classes": "split and tables of up to 10,000 classes",
    "many_runs": "finding and comparing up to 1,000 runs",
    "folder": "up to 100,000 image files: first and second start, against torchvision",
    "streaming": "images from shards, against memory and torchvision; ten times as much data as memory",
    "jpeg": "decoded, scaled and cropped images/s, against torchvision and the decoder alone",
}


class Parser(argparse.ArgumentParser):
    """A parser that raises errors instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise the error.

        Raises:
            ValueError: always.
        """
        raise ValueError(message)


def main(args: Sequence[str] | None = None) -> None:
    """Run benchmarks and print their tables.

    Args:
        args: names and options; None reads them from the command line.

    Raises:
        SystemExit: with status 2, after one line, if there is no such benchmark.
    """
    options = parse(args)
    for line in describe():
        print(line)
    print(f"\n{options.rates.table()}", flush=True)
    for name in options.names:
        for table in import_module(f"benchmarks.{name}").tables(options):
            print(f"\n{table}", flush=True)


def parse(args: Sequence[str] | None) -> Options:
    """Parse names and options.

    Raises:
        SystemExit: with status 2, after one line, if there is no such benchmark or option.
    """
    listed = "\n".join(f"  {name:<14}{text}" for name, text in BENCHMARKS.items())
    parser = Parser(
        "python -m benchmarks",
        description=f"{__doc__}\n\nbenchmarks, all of them by default:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each; the median counts")
    parser.add_argument("--largest", type=int, default=100, help="multiple of MNIST's size, and of 1,000 files")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once: only checks that everything runs")
    parser.add_argument("--picture", type=Path, help="file of the figure that `mnist` or `techniques` draws")
    try:
        given = parser.parse_args(args)
        return Options(**{**vars(given), "names": checked(given.names)})
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def checked(names: Sequence[str]) -> Sequence[str]:
    """Return the names, or those of all benchmarks if none is given.

    Raises:
        ValueError: there is no such benchmark.
    """
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise ValueError(f"no benchmark {unknown[0]}; choose from {', '.join(BENCHMARKS)}")
    return names or list(BENCHMARKS)


if __name__ == "__main__":
    main()
