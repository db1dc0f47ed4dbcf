"""Our side: the command line."""

from functools import partial

from benchmarks.processes import ROOT, Process, python

CONFIGS = ROOT / "configs"
IMPORTS = """
import sys
from importlib import import_module
from lamphouse import cli
from lamphouse.machine import run, start

def main():
    with start.without_collector():
        import lamphouse.cli.commands.fit, arc_light.data, arc_light.models
        for module in sys.argv[1:]:
            import_module(module)

run(main)
"""
MNIST = "torchvision.datasets.mnist"  # imported when data is loaded


def fit(experiment: str, *options: object) -> Process:
    """Train and test an experiment as shipped, with the CSV logger."""
    files = ["-c", CONFIGS / "trainer.yaml", "-c", CONFIGS / f"{experiment}.yaml"]
    return python("-m", "arc_light", "fit", *files, "--logger", "csv", *options)


imports = partial(python, "-c", IMPORTS)
show_help = partial(python, "-m", "arc_light", "--help")
