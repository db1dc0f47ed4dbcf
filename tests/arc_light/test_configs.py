"""Every shipped YAML file runs."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from conftest import CONFIGS, Outcome
from fake_data import expect_cifar10, expect_mnist, write_cifar10, write_folder, write_mnist

from lamphouse.checkpoints.files import load_checkpoint

Command = Callable[..., Outcome]
EXPERIMENTS = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "trainer")
EXPECTED = (
    "digits_mlp",
    "mnist_mlp",
    "mnist_resnet",
    "cifar10_mlp",
    "cifar10_resnet",
    "cifar10_speedrun",
    "folder_resnet",
)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a tiny data set of every kind, and return an image of each class by its folder."""
    expect_mnist(monkeypatch, write_mnist(Path("data"), train=40, test=20))
    expect_cifar10(monkeypatch, write_cifar10(Path("data"), train=50, test=20))
    return write_folder(Path("data", "images"), per_class=4)


def test_nothing_is_missing() -> None:
    assert set(EXPECTED) <= set(EXPERIMENTS)
    assert {path.stem for path in CONFIGS.glob("logger/*.yaml")} == {"wandb", "tensorboard", "csv"}
    assert {path.stem for path in CONFIGS.glob("debug/*.yaml")} == {"anomaly", "overfit", "profile"}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_trains_tests_evaluates_and_predicts(fit: Command, arc: Command, data: Path, experiment: str) -> None:
    outcome = fit(experiment=experiment)
    assert (outcome.status, outcome.err) == (0, "")
    (run,) = Path("runs", experiment).iterdir()
    files = {path.name for path in run.iterdir()}
    assert files == {"config.yaml", "environment.json", "best.ckpt", "last.ckpt", "previous.ckpt", "metrics.csv"}
    with (run / "metrics.csv").open() as file:
        epoch, test = csv.DictReader(file)
    assert all(float(epoch[f"{part}/{name}"]) >= 0 for part in ("train", "val") for name in ("loss", "acc"))
    assert 0 <= float(test["test/acc"]) <= 1
    for name, epochs in (("best", 0), ("last", 1)):
        assert load_checkpoint(run / f"{name}.ckpt")["epoch"] == epochs
        torch.load(run / f"{name}.ckpt", weights_only=True)
    evaluated = arc("evaluate", "--run", run)
    assert (evaluated.status, evaluated.err) == (0, "")
    assert f"{float(test['test/acc']):.4f}" in evaluated.out
    predicted = arc("predict", "--run", run, "--input", data / "cat")
    assert (predicted.status, predicted.err) == (0, "")
    assert len((run / "predictions.csv").read_text().splitlines()) == 5


def debug(fit: Command, name: str, experiment: str) -> tuple[Path, list[dict[str, str]]]:
    """Stack a file of configs/debug on an experiment, and return its run and the rows of its epochs."""
    outcome = fit("-c", CONFIGS / "debug" / f"{name}.yaml", experiment=experiment)
    assert (outcome.status, outcome.err) == (0, "")
    (run,) = Path("runs", experiment).iterdir()
    with (run / "metrics.csv").open() as file:
        return run, list(csv.DictReader(file))[:-1]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name.startswith("digits")])
def test_two_batches_are_learned_by_heart(fit: Command, experiment: str) -> None:
    _, epochs = debug(fit, "overfit", experiment)
    assert float(epochs[-1]["train/acc"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anomaly", "profile"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_debugging_goes_with_every_experiment(fit: Command, data: Path, name: str, experiment: str) -> None:
    assert len(debug(fit, name, experiment)[1]) == 1


def test_the_profile_is_in_the_run(fit: Command) -> None:
    run, _ = debug(fit, "profile", "digits_mlp")
    assert "run_training_batch" in (run / "fit-profile.txt").read_text()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_says_only_what_differs(experiment: str) -> None:
    """What is in trainer.yaml is not said again with the same value."""
    shared, own = (yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("trainer", experiment))
    assert {"model", "data"} <= set(own)
    for part in set(own) & set(shared):
        assert all(shared[part].get(key) != value for key, value in own[part].items()), part


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_file_names_are_those_of_the_readme_and_fields(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)
    assert path.read_text().endswith("\n")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_experiment_asks_for_a_precision_that_a_machine_may_have_to_emulate(experiment: str) -> None:
    trainer = yaml.safe_load((CONFIGS / f"{experiment}.yaml").read_text()).get("trainer", {})
    assert trainer.get("precision") in {None, "32-true"}
