"""The Makefile: its help, and what its targets run."""

import re
import shutil
import subprocess

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
TARGETS = {"train", "test", "evaluate", "predict", "resume", "lint", "setup"}


def make(*args: str) -> str:
    done = subprocess.run(["make", "-C", ROOT, *args], capture_output=True, text=True, check=True)
    return done.stdout


def test_help_lists_every_target_from_its_comment() -> None:
    text = (ROOT / "Makefile").read_text()
    described = dict(re.findall(r"^([a-z-]+):.*## (.+)$", text, re.MULTILINE))
    phony = " ".join(re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)).split()
    assert set(described) == set(phony) >= TARGETS
    shown = make("help")
    assert all(re.search(rf"make {name} +{re.escape(comment)}", shown) for name, comment in described.items())


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["train"], "-c configs/digits_mlp.yaml --trainer.logger configs/logger/wandb.yaml"),
        (
            ["train", "EXPERIMENT=mnist_mlp", "LOGGER=csv"],
            "-c configs/mnist_mlp.yaml --trainer.logger configs/logger/csv.yaml",
        ),
        (
            ["train", "ARGS=--model.optimizer.lr 0.1 --trainer.max_epochs 3"],
            " --model.optimizer.lr 0.1 --trainer.max_epochs 3",
        ),
        (["evaluate"], 'evaluate --run "runs/digits_mlp"'),
        (["evaluate", "EXPERIMENT=mnist_mlp"], 'evaluate --run "runs/mnist_mlp"'),
        (["predict", "RUN=a run", "INPUT=an image.png"], 'predict --run "a run" --input "an image.png"'),
        (["resume", "RUN=x", "ARGS=--trainer.max_epochs 9"], 'resume --run "x" --trainer.max_epochs 9'),
        (["test"], "-m pytest"),
    ],
)
def test_a_target_runs(args: list[str], command: str) -> None:
    assert command in make("--dry-run", *args)
