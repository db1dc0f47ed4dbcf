"""Another project than this repository's: its models and data sets are found, and its errors are one line."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import CONFIGS

from lamphouse.cli.main import main
from lamphouse.cli.project import Project

REGRESSION = '''
import torch
from lightning.pytorch import LightningModule


class LineModel(LightningModule):
    """It takes neither classes nor a shape from its data, and logs one metric."""

    def __init__(self, width: int = 3):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(width, 1)

    def forward(self, inputs):
        return self.layer(inputs)

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return ((self.layer(inputs) - targets) ** 2).mean()

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.training_step(batch, batch_idx))

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
'''
POINTS = '''
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class LinePoints(LightningDataModule):
    """It has neither classes nor a shape, and takes no options."""

    def train_dataloader(self):
        inputs = torch.linspace(0, 1, 60).reshape(20, 3)
        return DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=5)

    val_dataloader = test_dataloader = train_dataloader

    def read_samples(self, path):
        return torch.tensor([[0.2, 0.3, 0.4]])
'''
MONITORED = ["--early_stopping.monitor=val/loss", "--best_checkpoint.monitor=val/loss", "--best_checkpoint.mode=min"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write a project of one model and one data set; its classes stay in this process, where options name them."""
    path = tmp_path_factory.mktemp("project") / "own_project"
    for name, text in {"models/regressor": REGRESSION, "data/points": POINTS}.items():
        (path / name).parent.mkdir(parents=True)
        (path / f"{name}.py").write_text(text)
        (path / name).with_name("__init__.py").touch()
    (path / "__init__.py").touch()
    sys.path.insert(0, str(path.parent))
    yield path
    sys.path.remove(str(path.parent))


@pytest.fixture
def command(package: Path, capsys: Any) -> Callable[..., Any]:
    """Return what runs the project's commands."""

    def run(*args: object) -> Any:
        capsys.readouterr()
        try:
            return main("own_project", [str(arg) for arg in args])
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err

    return run


def test_a_model_and_a_data_set_are_a_file_each(
    command: Callable[..., Any], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["-c", CONFIGS / "trainer.yaml", "--model=LineModel", "--data=LinePoints", *MONITORED]
    fitted = command("fit", *options, "--logger=none", "--trainer.accelerator=cpu", "--trainer.max_epochs=2")
    assert set(fitted) == {"val/loss", "test/loss"}
    config = yaml.safe_load(next(Path("runs").glob("*/*/config.yaml")).read_text())
    assert config["model"] == {"class_path": "own_project.models.regressor.LineModel", "init_args": {"width": 3}}
    resumed = command("resume", "--trainer.max_epochs=4")
    assert resumed["test/loss"] < fitted["test/loss"]
    assert command("evaluate")["test/loss"] == pytest.approx(resumed["test/loss"], abs=1e-6)
    Path("some.txt").touch()
    command("predict", "--input=some.txt")
    weights = torch.load(next(Path("runs").rglob("best.ckpt")), weights_only=True)["state_dict"]
    expected = (weights["layer.weight"] @ torch.tensor([0.2, 0.3, 0.4]) + weights["layer.bias"]).item()
    assert float(capsys.readouterr().out.split()[1]) == pytest.approx(expected, abs=1e-3)
    monkeypatch.delattr("own_project.data.points.LinePoints.read_samples")
    assert "LinePoints reads no files: define read_samples(path)" in command("predict", "--input=some.txt")[1]


def test_what_a_model_lacks_is_named(command: Callable[..., Any], own: Callable[[str], str]) -> None:
    model = own(
        REGRESSION.replace("LineModel", "Mine").replace("width: int = 3", "num_classes").replace("width", "num_classes")
    )
    status, error = command("fit", f"--model={model}", "--data=LinePoints", *MONITORED, "--trainer.max_epochs=1")
    assert status == 2
    assert error.startswith("own_project fit: ")
    assert "num_classes" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import torch\n\nx = undefined", ":3: NameError: name 'undefined' is not defined"),
        ("class Broken(:\n", ":1: SyntaxError: invalid syntax"),
        (
            "import no_such_module",
            ":1: ModuleNotFoundError: No module named 'no_such_module'",
        ),
    ],
)
def test_a_module_that_cannot_be_imported(
    command: Callable[..., Any], package: Path, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(package.parent)
    (package / "models" / "broken.py").write_text(text)
    outcome = command("fit", "--model=LineModel", "--data=LinePoints")
    (package / "models" / "broken.py").unlink()
    place = "own_project.models.broken: cannot be imported: own_project/models/broken.py"
    assert outcome == (2, f"own_project fit: {place}{expected}\n")


def test_a_project_without_loops_of_its_own_has_lightnings(command: Callable[..., Any]) -> None:
    assert list(Project("own_project").loops) == []
    status, error = command("fit", "--model=LineModel", "--data=LinePoints", "--loop=manual")
    assert (status, "--loop manual" in error) == (2, True)
    assert list(Project("arc_light").loops) == ["handwritten", "manual"]


def test_the_program_is_named_after_the_package(command: Callable[..., Any], capsys: Any) -> None:
    command("--help")
    assert "python -m own_project COMMAND" in capsys.readouterr().out
