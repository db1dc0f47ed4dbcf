"""An experiment: model and data belong together, and options are found where a user looks for them."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml
from conftest import CONFIGS, Outcome, fit_options
from fake_data import write_folder
from lightning.pytorch import Trainer
from lightning.pytorch.profilers import SimpleProfiler

from lamphouse.callbacks import NoProfiler
from lamphouse.cli.experiment import Experiment
from lamphouse.cli.project import Project
from arc_light.models.resnet import ResNetClassifier

Command = Callable[..., Outcome]


def experiment(*options: str, name: str = "digits_mlp") -> Experiment:
    return Experiment(Project("arc_light"), "fit", [*fit_options(name), *options])


FORWARDLESS = """
from lightning.pytorch import LightningModule
from torch import nn, optim


class Mine(LightningModule):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.head = nn.Linear(1, num_classes)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        return nn.functional.cross_entropy(self.head(images.mean((1, 2, 3)).unsqueeze(1)), labels)

    def validation_step(self, batch, batch_idx):
        self.log("val/acc", 0.5)

    test_step = validation_step

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.1)
"""


def test_a_model_learns_shape_and_classes_from_its_data() -> None:
    write_folder(Path("data", "images"), ["a", "b", "c"])
    made = experiment("--data.image_size=12", "--data.channels=1", "--model.depth=8", name="folder_resnet")
    assert (made.model.num_classes, tuple(made.model.input_shape)) == (3, (1, 12, 12))
    assert made.model(torch.zeros(2, 1, 12, 12)).shape == (2, 3)


def test_the_seed_is_the_datas_too_unless_it_has_its_own() -> None:
    assert experiment("--seed_everything=7").datamodule.seed == 7
    assert experiment("--seed_everything=7", "--data.seed=3").datamodule.seed == 3


def test_batches_are_counted_whatever_was_imported_before(monkeypatch: pytest.MonkeyPatch) -> None:
    hints = Trainer.__init__.__annotations__
    monkeypatch.setitem(hints, "limit_train_batches", float | int | None)  # as with transformers installed
    assert isinstance(experiment("--trainer.limit_train_batches=1").trainer.limit_train_batches, int)
    assert get_args(hints["limit_train_batches"]) == (int, float, type(None))


def test_a_class_chosen_on_the_command_line_is_told_what_it_leaves_out(fit: Command) -> None:
    outcome = fit("--model=ResNetClassifier", "--model.depth=8", "--model.width=4")
    assert outcome.status == 0
    assert "model.hidden_sizes" in outcome.err
    assert "left out" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_model_without_forward_may_have_images_of_another_size(arc: Command, own: Callable[[str], str]) -> None:
    parts = [f"--model={own(FORWARDLESS)}", "--data=DigitsDataModule", "--data.augment+=SmallFirst"]
    limits = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.logger=false"]
    outcome = arc("fit", "-c", CONFIGS / "trainer.yaml", *parts, *limits, "--trainer.accelerator=cpu")
    assert (outcome.status, outcome.err) == (0, "")


def test_the_callbacks_have_names_and_knobs() -> None:
    made = experiment("--early_stopping.patience=3", "--best_checkpoint.monitor=val/loss", "--best_checkpoint.mode=min")
    found = {type(callback).__name__ for callback in made.trainer.callbacks}
    assert {"EarlyStop", "BestCheckpoint", "Throughput", "EpochProgress"} <= found
    assert made.trainer.early_stopping_callback.patience == 3
    best, last = made.trainer.checkpoint_callbacks
    assert best.monitor == "val/loss"
    assert last.minutes == 5


def test_more_callbacks_are_added_and_none_is_lost() -> None:
    made = experiment("--trainer.callbacks+=DeviceStatsMonitor")
    found = {type(callback).__name__ for callback in made.trainer.callbacks}
    assert {"EarlyStop", "BestCheckpoint"} <= found


def test_nothing_is_profiled_unless_asked_for() -> None:
    assert isinstance(experiment().trainer.profiler, NoProfiler)
    with experiment().trainer.profiler.profile("a hook") as nothing:
        assert nothing is None
    assert isinstance(experiment("--trainer.profiler=simple").trainer.profiler, SimpleProfiler)


def test_the_resolved_config_can_be_read_again() -> None:
    text = experiment("--model.optimizer=SGD", "--model.optimizer.lr=0.5").resolved()
    Path("config.yaml").write_text(text)
    again = Experiment(Project("arc_light"), "fit", ["-c", "config.yaml"])
    assert yaml.safe_load(again.resolved()) == yaml.safe_load(text)


@pytest.mark.parametrize("part", ["trainer", "early_stopping", "best_checkpoint", "last_checkpoint"])
def test_what_is_shared_can_be_overridden(part: str) -> None:
    shared = yaml.safe_load((CONFIGS / "trainer.yaml").read_text())[part]
    resolved = yaml.safe_load(experiment().resolved())[part]
    given = {"accelerator", "max_epochs", "logger"}
    assert all(resolved[key] == value for key, value in shared.items() if key not in given)


def test_pretrained_weights_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ResNetClassifier(18, input_shape=(3, 64, 64), num_classes=1000).network.state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *args, **options: state)
    write_folder(Path("data", "images"))
    made = experiment("--model.weights=DEFAULT", name="folder_resnet")
    assert torch.equal(made.model.network.conv1.weight, state["conv1.weight"])
    assert made.model.network.fc.out_features == 2


LAZY = """
from torch import nn

from arc_light.classification import Classifier


class Mine(Classifier):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.network = nn.Sequential(nn.Flatten(), nn.LazyLinear(self.num_classes))
"""


def test_lazy_parameters_are_one_line(fit: Command, own: Callable[[str], str]) -> None:
    outcome = fit(f"--model={own(LAZY)}")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "--model Mine: has lazy layers: give every layer its sizes" in outcome.err


TYPICAL = {  # values of many kinds: texts that look like something else, lists, and classes within classes
    "numbers": "--trainer.limit_train_batches=1.0 --trainer.limit_val_batches=1 --model.optimizer.lr=1e-9 "
    "--early_stopping.min_delta=1e-30 --trainer.gradient_clip_val=1 --ema=0.999 --trainer.max_time=00:00:00:01",
    "texts": "--experiment=no --runs=2026-11-27 --trainer.devices=1 --trainer.precision=32 --logger_options.notes=no",
    "lists": "--model.hidden_sizes=[] --data.augment=[] --logger_options.tags=['1',null,no]",
    "classes": "--model.optimizer=SGD --model.lr_scheduler=ReduceLROnPlateau --trainer.profiler=SimpleProfiler "
    "--data.augment+=RandomFlip --trainer.plugins+=TorchSyncBatchNorm --model.metrics.f1=torchmetrics.F1Score",
    "callbacks": "--trainer.callbacks+=LearningRateMonitor --trainer.callbacks+=ModelCheckpoint "
    "--trainer.callbacks+=DeviceStatsMonitor --trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val/loss",
}


@pytest.mark.slow
@pytest.mark.parametrize("options", TYPICAL.values(), ids=TYPICAL.keys())
def test_what_is_saved_reads_back(options: str) -> None:
    """Every option, with its default or a typical value."""
    saved = experiment(*options.split()).resolved()
    Path("saved.yaml").write_text(saved)
    assert Experiment(Project("arc_light"), "fit", ["-c", "saved.yaml"]).resolved() == saved
