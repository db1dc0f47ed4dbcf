"""The doctor finds faults that were planted, names them, and leaves healthy projects alone."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import Outcome, fit_options
from lightning.pytorch import LightningDataModule, LightningModule
from stock import QUIET
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lamphouse.data import Samples, TensorDataModule
from lamphouse.doctor import examine_data, examine_training
from arc_light.data.digits import DigitsDataModule
from arc_light.models.mlp import MLPClassifier

Command = Callable[..., Outcome]


class NotZeroed(MLPClassifier):
    def optimizer_zero_grad(self, *_: Any) -> None:
        pass


class TrainsAtValidation(MLPClassifier):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.train()
        super().validation_step(batch, batch_idx)


class EvaluatesInTraining(MLPClassifier):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.network.eval()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.network.eval()
        return super().training_step(batch, batch_idx)


class LargeLogits(MLPClassifier):
    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = 1000 * super().forward(inputs)
        return logits


class Detached(MLPClassifier):
    def loss(self, batch: Any) -> tuple[Tensor, Tensor]:
        loss, logits = super().loss(batch)
        return loss.detach() + 0 * loss, logits


class Unused(MLPClassifier):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.forgotten = nn.Linear(3, 3)


class OverTheBatch(MLPClassifier):
    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = super().forward(inputs)
        return logits - logits.mean(0)


class AlwaysDropout(MLPClassifier):
    def forward(self, inputs: Tensor) -> Tensor:
        return F.dropout(super().forward(inputs), 0.2)


class WithoutSeed(MLPClassifier):
    def loss(self, batch: Any) -> tuple[Tensor, Tensor]:
        noise = torch.randn(batch[0].shape, generator=torch.Generator().manual_seed(time.time_ns()))
        return super().loss((batch[0] + noise / 100, batch[1]))


class Fails(MLPClassifier):
    def loss(self, batch: Any) -> tuple[Tensor, Tensor]:
        raise ValueError("no loss today")


class Changed(DigitsDataModule):
    """The digits with something wrong."""

    def load(self, train: bool) -> Samples:
        samples = super().load(train)
        return self.change(samples, train)

    def change(self, samples: Samples, train: bool) -> Samples:
        return samples


class NotNormalised(Changed):
    def normalise(self, images: Tensor) -> Tensor:
        return images.float()


class SharesTest(Changed):
    def change(self, samples: Samples, train: bool) -> Samples:
        return samples if train else super(Changed, self).load(train=True)


class FewOnes(Changed):
    def change(self, samples: Samples, train: bool) -> Samples:
        inputs, targets = samples[:]
        kept = (targets != 1) | (torch.arange(len(targets)) < 30)
        return Samples(inputs[kept], targets[kept])


class NoTestOfNine(Changed):
    def change(self, samples: Samples, train: bool) -> Samples:
        inputs, targets = samples[:]
        return Samples(inputs[train | (targets != 9)], targets[train | (targets != 9)])


MODELS = {
    NotZeroed: "gradients grow from step to step with the same weights and batch",
    TrainsAtValidation: "modules are in training mode at validation: the model, ",
    EvaluatesInTraining: "modules are in evaluation mode in training: network",
    LargeLogits: "that of guessing among 10 classes 2.303: look at the scale of the logits",
    Detached: "PROBLEM  parameters get no gradient: network.1.weight",
    Unused: "parameters get no gradient: forgotten.weight, forgotten.bias:",
    OverTheBatch: "an output depends on other inputs of its batch: look for statistics of the batch",
    AlwaysDropout: "the same input gives another output each time: give functional dropout",
    WithoutSeed: "the same seed gives other weights: network.1.weight",
    Fails: "training fails: ValueError: no loss today",
}
DATA = {
    NotNormalised: ": normalise them to about 0 and 1",
    SharesTest: "inputs of test are in train, too: remove them",
    FewOnes: "samples of the rarest class and",
    NoTestOfNine: "test has no sample of class 9: add some",
}


def problems(outcome: Outcome) -> list[str]:
    return [line for line in outcome.out.splitlines() if line.startswith("PROBLEM")]


def test_a_healthy_project_passes(arc: Command) -> None:
    outcome = arc("doctor", *fit_options("digits_mlp"))
    assert (outcome.status, outcome.err) == (0, "")
    assert "PROBLEM" not in outcome.out
    assert "skipped" not in outcome.out
    assert "no problems found in" in outcome.out


@pytest.mark.slow
@pytest.mark.parametrize(("model", "words"), MODELS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_models_fault_is_named(arc: Command, model: type, words: str) -> None:
    outcome = arc("doctor", *fit_options("digits_mlp"), f"--model={__name__}.{model.__name__}")
    assert (outcome.status, outcome.err) == (1, "")
    assert any(words in problem for problem in problems(outcome)), outcome.out


@pytest.mark.slow
@pytest.mark.parametrize(("data", "words"), DATA.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_of_data_is_named(arc: Command, data: type, words: str) -> None:
    outcome = arc("doctor", *fit_options("digits_mlp"), f"--data={__name__}.{data.__name__}")
    assert (outcome.status, outcome.err) == (1, "")
    assert words in problems(outcome)[0]


def test_labels_at_each_place_of_a_sample_need_no_balance() -> None:
    inputs, labels = torch.arange(24).view(6, 4), torch.zeros(6, 4, dtype=torch.long)
    for targets, count in ((labels, 0), (labels[:, 0], 1), (labels + 3, 1)):
        findings = examine_data({"train": (inputs, targets)}, inputs, num_classes=3)
        assert [finding.kind for finding in findings].count("PROBLEM") == count


class Slow(Dataset[Any]):
    def __len__(self) -> int:
        return 640

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        time.sleep(0.001)
        return torch.full((1, 8, 8), index % 7 / 3 - 1), index % 10


class SlowData(LightningDataModule):
    num_classes, input_shape = 10, (1, 8, 8)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Slow(), 32)

    val_dataloader = test_dataloader = train_dataloader


def test_a_slow_loader_of_ones_own_is_named(arc: Command) -> None:
    outcome = arc("doctor", *fit_options("digits_mlp"), f"--data={__name__}.SlowData")
    assert outcome.status == 1
    assert "% of the time goes into loading: raise --data.num_workers" in outcome.out


class Numbers(TensorDataModule):
    def load(self, train: bool) -> Samples:
        rows = torch.randn(200, 3, generator=torch.Generator().manual_seed(int(train)))
        return Samples(rows, rows.sum(1, keepdim=True))


class PlainRegressor(LightningModule):
    """A user's own, which never heard of a Task."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(inputs)
        return outputs

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx))

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.05)


def test_models_and_data_of_ones_own(arc: Command) -> None:
    options = ["-c", *fit_options("digits_mlp")[1:2], "--logger=none", "--trainer.accelerator=cpu"]
    outcome = arc("doctor", *options, f"--model={__name__}.PlainRegressor", f"--data={__name__}.Numbers")
    assert (outcome.status, outcome.err) == (0, ""), outcome.out


class Manual(PlainRegressor):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", super().training_step(batch, batch_idx))


def test_manual_optimization_that_returns_no_loss_is_examined() -> None:
    batch = (torch.randn(8, 3), torch.randn(8, 1))
    kinds = [finding.kind for finding in examine_training(Manual(), batch, accelerator="cpu")]
    assert kinds == ["ok", "ok", "ok", "skipped", "ok"]


def test_a_stock_module_is_examined() -> None:
    inputs = torch.randn(8, 3)
    loader = DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), 8)
    options = {name: QUIET[name] for name in ("accelerator", "devices") if name in QUIET}
    findings = list(examine_training(PlainRegressor(), next(iter(loader)), **options))
    assert {finding.kind for finding in findings} == {"ok"}, findings


def test_a_model_that_is_too_slow_to_learn_in_time_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamphouse.doctor.training.SECONDS", 0.0)
    inputs = torch.randn(8, 3)
    findings = examine_training(PlainRegressor(), (inputs, inputs.sum(1, keepdim=True)), accelerator="cpu")
    assert [finding.kind for finding in findings if "one batch" in finding.what] == ["skipped"]
