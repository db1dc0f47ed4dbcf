"""The hand-written loop by itself: without Lightning, on a network of a few lines."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

from lamphouse.loops.batches import Batches
from lamphouse.loops.watch import Metrics, Watch
from arc_light.loops.handwritten import Options, Training, default_device, fit

CPU = torch.device("cpu")


class Counted:
    """Mean loss and accuracy."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.sums = torch.zeros(3)

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        correct = (logits.argmax(1) == labels).sum()
        self.sums += torch.stack([loss.detach().cpu() * len(labels), correct.cpu(), torch.tensor(len(labels))])

    def running(self) -> dict[str, Tensor]:
        return {"loss": self.sums[0] / self.sums[2], "acc": self.sums[1] / self.sums[2]}

    def compute(self) -> dict[str, Tensor]:
        return self.running()


class Linear(nn.Linear):
    """What the loop asks of a model."""

    def __init__(self, lr: float = 0.5, uphill: bool = False) -> None:
        super().__init__(2, 2)
        self.lr, self.uphill = lr, uphill
        self.train_metrics, self.val_metrics = Counted(), Counted()
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def loss(self, batch: Any) -> tuple[Tensor, Tensor]:
        points, labels = batch
        logits = self(points)
        return F.cross_entropy(logits, labels), logits

    def configure_optimizers(self, total_steps: int) -> SGD:
        self.total_steps = total_steps
        return SGD(self.parameters(), self.lr, maximize=self.uphill)


def batches(size: int = 10, batch_size: int = 4) -> Batches:
    points = torch.randn(size, 2, generator=torch.Generator().manual_seed(0))
    return Batches(DataLoader(TensorDataset(points, (points[:, 0] > 0).long()), batch_size), CPU)


def trained(model: Linear, epochs: int = 3, watch: Watch | None = None, **options: Any) -> list[Metrics]:
    history: list[Metrics] = []
    train = batches()
    training = Training(model, Options(epochs, CPU, **options), len(train), watch, Watch("val/loss", "min"))
    fit(training, train, batches(6), lambda _, metrics, best: history.append({**metrics, "best": torch.tensor(best)}))
    return history


def test_it_needs_no_lightning() -> None:
    code = "import sys\nimport arc_light.loops.handwritten\n"
    code += "print([name for name in sys.modules if name.startswith('lightning')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_takes_the_steps_of_gradient_descent() -> None:
    model, reference = Linear(), Linear()
    trained(model, epochs=2)
    for _ in range(2):
        for points, labels in batches().loader:
            gradients = torch.autograd.grad(reference.loss((points, labels))[0], list(reference.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(reference.parameters(), gradients, strict=True):
                    parameter.sub_(0.5 * gradient)
    torch.testing.assert_close(model.state_dict(), reference.state_dict())


def test_it_learns_and_reports() -> None:
    history = trained(Linear(), epochs=30)
    assert history[0]["val/loss"] > history[-1]["val/loss"]
    assert history[-1]["val/acc"] == 1
    assert {"train/loss", "train/acc", "val/loss", "val/acc", "lr", "images_per_second", "seconds"} < history[0].keys()


def test_accumulated_batches_of_equal_size_are_one_large_batch() -> None:
    small, large = Linear(), Linear()
    fit(Training(small, Options(1, CPU, accumulate=2), 2), batches(8), batches())
    fit(Training(large, Options(1, CPU), 1), batches(8, batch_size=8), batches())
    torch.testing.assert_close(small.state_dict(), large.state_dict())


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 9), (2, 6), (3, 3), (5, 3)])
def test_the_model_is_told_how_many_steps_there_will_be(accumulate: int, steps: int) -> None:
    model = Linear()
    training = Training(model, Options(3, CPU, accumulate=accumulate), 3)
    fit(training, batches(), batches())
    assert model.total_steps == training.step == steps


@pytest.mark.parametrize(("algorithm", "largest"), [("norm", 0.01), ("value", 0.01 * 6**0.5)])
def test_a_clipped_step_is_no_longer_than_the_clip(algorithm: Any, largest: float) -> None:
    model = Linear(lr=1.0)
    train = batches(4)
    fit(Training(model, Options(1, CPU, clip=0.01, clip_algorithm=algorithm), 1), train, batches())
    length = torch.cat([parameter.flatten() for parameter in model.parameters()]).norm()
    assert 0.009 < length <= largest * 1.0001


def test_it_stops_in_vain_and_restores_the_best_weights() -> None:
    model = Linear(uphill=True)  # so that the first epoch is the best
    history = trained(model, epochs=20, watch=Watch("val/loss", "min", patience=2))
    assert [bool(epoch["best"]) for epoch in history] == [True, False, False]
    again = Linear(uphill=True)
    trained(again, epochs=1)
    assert torch.equal(model.weight, again.weight)


def test_the_best_of_the_moving_average_is_restored() -> None:
    model, reference = Linear(), Linear()
    trained(model, epochs=1, ema=0.5)
    average = None
    optimizer = reference.configure_optimizers(3)
    for batch in batches().loader:
        reference.loss(batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
        weight = reference.weight.detach().clone()
        average = weight if average is None else 0.5 * average + 0.5 * weight
    torch.testing.assert_close(model.weight.detach(), average)


def test_it_can_be_limited_to_some_batches() -> None:
    few = Batches(batches().loader, CPU, count=2)
    assert len(list(few.epoch(0))) == len(few) == 2


def test_it_prepares_each_batch() -> None:
    doubled = Batches(batches().loader, CPU, prepare=lambda batch: [2 * batch[0], batch[1]])
    for (mine, _), (plain, _) in zip(doubled.epoch(0), batches().epoch(0), strict=True):
        assert torch.equal(mine, 2 * plain)


def test_a_bar_shows_loss_and_accuracy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    trained(Linear(), epochs=1)
    assert "epoch 0" in capsys.readouterr().err


def test_there_is_a_device() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert default_device().type == expected
