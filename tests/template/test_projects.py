"""Generated projects at work: `make lint`, `make test`, `make train`, for every pair of answers."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from projects import PAIRS, SMALLEST, label, run, written
from recipes import RECIPES, read_recipe, read_section

pytestmark = pytest.mark.slow


def installed(project: Path) -> Path:
    """Let a project use this environment instead of installing its own."""
    (project / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "ruff", "mypy"):
        tool = project / ".venv" / "bin" / name
        program = sys.executable if name == "python" else f"{sys.executable} -m {name}"
        tool.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        tool.chmod(0o755)
    (project / ".venv" / ".ready").touch()  # newer than the lock: make has nothing to set up
    return project


def make(project: Path, *words: str, command: str = "make") -> str:
    """Run make in a project, with one thread and without settings of ours, and return its output."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "WANDB", "MAKE"))}
    own |= {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1", "HOME": str(project.parent)}
    done = run(command, *words, cwd=project, env=own)
    return done.stdout + done.stderr


@pytest.mark.parametrize("choices", PAIRS, ids=label)
def test_own_tests(choices: dict[str, str]) -> None:
    project = installed(written(Path("leaf-counter").absolute(), **choices))
    output = make(project, "test", "ARGS=-n 0")
    assert " passed" in output
    assert not any(word in output for word in ("failed", "skipped", "error"))


@pytest.mark.parametrize("choices", [SMALLEST, {"starting_point": "image_folder", "logger": "csv"}], ids=label)
def test_the_recipes_of_the_readme_end_green(choices: dict[str, str]) -> None:
    project = installed(written(Path("leaf-counter").absolute(), **choices))
    for title in RECIPES:
        recipe = read_recipe(project, title)
        recipe.write(project)
        for command in recipe.commands:
            target, *variables = shlex.split(command)[1:]
            args = next((word for word in variables if word.startswith("ARGS=")), "ARGS=")
            make(project, target, *(set(variables) - {args}), f"{args} --trainer.max_epochs 1")
    assert "All checks passed!" in make(project, "lint")
    assert " passed" in make(project, "test", "ARGS=-n 0")
    script = read_section(project, "From Python").split("```python\n")[1].split("```")[0]
    printed = run(
        sys.executable, "-c", script, cwd=project, env={"PYTHONPATH": str(project / "src"), "PATH": ""}
    ).stdout
    assert float(re.search(r"'test/acc': ([\d.]+)", printed)[1]) > 0.97


def test_its_ci_runs_every_command_of_the_readme() -> None:
    project = installed(written(Path("leaf-counter").absolute(), **SMALLEST))
    shown = re.findall(r"^\$ .*?(?= +#|$)", (project / "README.md").read_text(), re.M)
    output = re.sub(r"(?<==)\S+photo.png", "photo.png", make(project, ".ci/run", command="bash"))
    assert len(shown) > 7
    assert [line for line in output.splitlines() if line.startswith("$ ")] == shown


TRAINED = [{"starting_point": "image_folder", "logger": "tensorboard"}, {"package_name": "q"}]


@pytest.mark.parametrize("choices", TRAINED, ids=label)
def test_training(choices: dict[str, str]) -> None:
    project = installed(written(Path("leaf-counter").absolute(), **choices))
    output = make(project, "train", "ARGS=--trainer.max_epochs 1")
    experiment = "digits_folder" if choices.get("starting_point") == "image_folder" else "digits_mlp"
    (run,) = (project / "runs" / experiment).iterdir()
    assert {"best.ckpt", "last.ckpt", "config.yaml", "metrics.csv"} <= {path.name for path in run.iterdir()}
    assert f"runs/{experiment}/{run.name}" in output
    assert "test" in make(project, "evaluate")


OWN = {
    "src/{0}/utils.py": "def double(number):\n    return 2 * number\n",
    "src/{0}/models/deep.py": """\
from {0}.models.mlp import MLPClassifier


class DeepClassifier(MLPClassifier):
    def __init__(self, **kwargs):
        super().__init__(hidden_sizes=[64, 64, 64], **kwargs)
""",
    "src/{0}/models/two_layers.py": '''\
"""A network of mine."""

from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from {0}.classification import Classifier


class TwoLayersClassifier(Classifier):
    """Two layers and a loss of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(prod(self.input_shape), 8), nn.Linear(8, self.num_classes))

    def loss(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Compute the focal loss of a batch."""
        logits = self(batch[0])
        losses = F.cross_entropy(logits, batch[1], reduction="none")
        return (losses * (1 - (-losses).exp())).mean(), logits
''',
    "src/{0}/data/satellite.py": '''\
"""Images of five channels."""

import torch

from lamphouse.data import ImageDataModule, Samples


class SatelliteDataModule(ImageDataModule):
    """Noise in five bands."""

    classes = ("land", "sea")
    input_shape = (5, 8, 8)
    mean, std = (0.5,) * 5, (0.3,) * 5

    def load(self, train: bool) -> Samples:
        """Draw the training or the test split."""
        random = torch.Generator().manual_seed(int(train))
        images = torch.randint(0, 256, (100, 5, 8, 8), generator=random).byte()
        return Samples(images, (images.float().mean((1, 2, 3)) > 127).long())
''',
    "configs/satellite.yaml": """\
model: {{class_path: TwoLayersClassifier}}
data: {{class_path: SatelliteDataModule}}
trainer: {{max_epochs: 2, precision: bf16-mixed}}
""",
    "configs/deep.yaml": """\
model: {{class_path: DeepClassifier}}
data: {{class_path: DigitsDataModule}}
trainer: {{devices: 2, accelerator: gpu}}
logger: wandb
""",
    "configs/longer.yaml": "trainer: {{max_epochs: 200}}  # added to an experiment\n",
    "configs/elsewhere.yaml": """\
model: {{class_path: TwoLayersClassifier}}
data: {{class_path: ImageFolderDataModule, init_args: {{root: data/elsewhere}}}}
""",
}


def test_nothing_goes_red_by_an_owners_own_files() -> None:
    project = installed(written(Path("leaf-counter").absolute(), **SMALLEST))
    for path, text in OWN.items():
        (project / path.format("leaf_counter")).write_text(text.format("leaf_counter"))
    output = make(project, "test", "ARGS=-n 0 -rs")
    assert "1 skipped" in output
    assert "lacks its data" in output
    assert "All checks passed!" in make(project, "lint")
