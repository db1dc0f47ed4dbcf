"""The shipped YAML files, beyond what tests/arc_light states of every experiment."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import CONFIGS, Outcome
from tiny_data import cifar10, image_folder, mnist, pets

Command = Callable[..., Outcome]
NOTES = {"shakespeare_gpt": "note: there is no test without ShakespeareDataModule.test_dataloader\n"}
EXPERIMENTS = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "trainer")


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    for maker in (mnist, cifar10, image_folder, pets):
        maker.make(Path("data"), monkeypatch)


def debug(fit: Command, name: str, experiment: str) -> tuple[Path, list[dict[str, str]]]:
    """Add a file of configs/debug to an experiment, and return its run and the rows of its epochs."""
    outcome = fit("-c", CONFIGS / "debug" / f"{name}.yaml", experiment=experiment)
    assert (outcome.status, outcome.err) == (0, NOTES.get(experiment, ""))
    (run,) = Path("runs", experiment).iterdir()
    with (run / "metrics.csv").open() as file:
        return run, [row for row in csv.DictReader(file) if row["val/loss"]]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["digits_mlp", "digits_resnet"])  # image files here are noise
def test_two_batches_can_be_overfitted(fit: Command, experiment: str) -> None:
    _, epochs = debug(fit, "overfit", experiment)
    assert float(epochs[-1]["train/acc"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anomaly", "profile"])
@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name != "cifar10_finetune"])  # too slow
def test_debugging_goes_with_every_experiment(fit: Command, name: str, experiment: str) -> None:
    assert len(debug(fit, name, experiment)[1]) == 1


def test_the_profile_is_in_the_run(fit: Command) -> None:
    run, _ = debug(fit, "profile", "digits_mlp")
    assert "run_training_batch" in (run / "fit-profile.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_predicts(fit: Command, arc: Command, experiment: str) -> None:
    assert fit(experiment=experiment).err == NOTES.get(experiment, "")
    (run,) = Path("runs", experiment).iterdir()
    files = {path.name for path in run.iterdir()}
    assert files == {
        *("config.yaml", "environment.json", "history.json", "metrics.csv", ".lock"),
        *("best.ckpt", "last.ckpt", "previous.ckpt"),
    }
    assert "torch" in json.dumps(json.loads((run / "environment.json").read_text()))
    takes_text = experiment == "shakespeare_gpt"
    predicted = arc("predict", "--run", run, "--input", "ROMEO:" if takes_text else Path("data", "images", "cat"))
    assert (predicted.status, predicted.err) == (0, "")
    assert len((run / "predictions.csv").read_text().splitlines()) > 10 or takes_text


def test_an_experiment_says_only_what_differs() -> None:
    shared = yaml.safe_load((CONFIGS / "trainer.yaml").read_text())
    for experiment in EXPERIMENTS:
        own = yaml.safe_load((CONFIGS / f"{experiment}.yaml").read_text())
        assert {"model", "data"} <= set(own)
        assert own.get("trainer", {}).get("precision") in {None, "32-true"}  # no other goes on every machine
        for part in set(own) & set(shared):
            assert all(shared[part].get(key) != value for key, value in own[part].items()), (experiment, part)
