"""The hand-written loop by itself, on a network of a few lines."""

import ast
import inspect
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

from lamphouse.loops import batches
from lamphouse.metrics import EpochMetrics
from arc_light.loops import handwritten
from arc_light.loops.handwritten import Metrics, Training, fit
from arc_light.monitor import Monitor

CPU = torch.device("cpu")


class Linear(nn.Linear):
    """All that the loop asks of a model."""

    def __init__(self, lr: float = 0.5, uphill: bool = False) -> None:
        super().__init__(2, 2)
        self.lr, self.uphill = lr, uphill
        self.train_metrics, self.val_metrics = EpochMetrics(), EpochMetrics()
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def freeze_backbone(self, epoch: int) -> None:
        pass

    def step(self, part: str, batch: Any) -> Tensor:
        predictions = self(batch[0])
        loss = F.cross_entropy(predictions, batch[1])
        getattr(self, f"{part}_metrics").update(loss, predictions, batch[1])
        return loss

    def configure_optimizers(self, total_steps: int) -> SGD:
        self.total_steps = total_steps
        return SGD(self.parameters(), self.lr, maximize=self.uphill)


def loader_of(size: int = 10, batch_size: int = 4) -> DataLoader[Any]:
    points = torch.randn(size, 2, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(points, (points[:, 0] > 0).long()), batch_size)


def trained(model: Linear, epochs: int = 3, size: int = 10, batch_size: int = 4, **options: Any) -> list[Metrics]:
    history: list[Metrics] = []
    train, val = loader_of(size, batch_size), loader_of(6)
    training = Training(model, len(train), CPU, epochs, **options)
    train_batches, val_batches = (
        partial(batches, loader, len(loader), lambda batch: batch, None) for loader in (train, val)
    )
    fit(training, train_batches, val_batches, lambda m, best: history.append({**m, "best": best}), lambda: None)
    assert training.step == model.total_steps or training.stopping.stop
    return history


def test_nothing_in_it_is_lightnings() -> None:
    nodes = list(ast.walk(ast.parse(inspect.getsource(handwritten))))
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if "lightning" in name]


def test_it_takes_the_steps_of_gradient_descent() -> None:
    model, reference = Linear(), Linear()
    trained(model, epochs=2)
    for _ in range(2):
        for batch in loader_of():
            gradients = torch.autograd.grad(reference.step("train", batch), list(reference.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(reference.parameters(), gradients, strict=True):
                    parameter.sub_(0.5 * gradient)
    torch.testing.assert_close(model.state_dict(), reference.state_dict())


def test_it_learns_and_reports() -> None:
    history = trained(Linear(), epochs=30)
    assert history[0]["val/loss"] > history[-1]["val/loss"]
    assert {"train/loss", "val/loss", "lr", "samples_per_second", "seconds"} < history[0].keys()


def test_accumulated_batches_of_equal_size_are_one_large_batch() -> None:
    small, large = Linear(), Linear()
    trained(small, epochs=1, size=8, accumulate_grad_batches=2)
    trained(large, epochs=1, size=8, batch_size=8)
    torch.testing.assert_close(small.state_dict(), large.state_dict())


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 9), (2, 6), (3, 3), (5, 3)])
def test_the_model_is_told_how_many_steps_there_will_be(accumulate: int, steps: int) -> None:
    model = Linear()
    trained(model, accumulate_grad_batches=accumulate)
    assert model.total_steps == steps


@pytest.mark.parametrize(("algorithm", "largest"), [("norm", 0.01), ("value", 0.01 * 6**0.5)])
def test_a_clipped_step_is_no_longer_than_the_limit(algorithm: Any, largest: float) -> None:
    model = Linear(lr=1.0)
    trained(model, epochs=1, size=4, gradient_clip_val=0.01, gradient_clip_algorithm=algorithm)
    length = torch.cat([parameter.flatten() for parameter in model.parameters()]).norm()
    assert 0.009 < length <= largest * 1.0001


def test_it_stops_early_and_restores_the_best_weights() -> None:
    model = Linear(uphill=True)  # so that the first epoch is the best
    history = trained(model, epochs=20, stopping=Monitor("val/loss", "min", patience=2))
    assert [epoch["best"] for epoch in history] == [True, False, False]
    again = Linear(uphill=True)
    trained(again, epochs=1)
    assert torch.equal(model.weight, again.weight)


def test_the_best_of_the_moving_average_is_restored() -> None:
    model, reference = Linear(), Linear()
    trained(model, epochs=1, ema=0.5)
    average = None
    optimizer = reference.configure_optimizers(3)
    for batch in loader_of():
        reference.step("train", batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        weight = reference.weight.detach().clone()
        average = weight if average is None else 0.5 * average + 0.5 * weight
    torch.testing.assert_close(model.weight.detach(), average)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("min_delta", [0.0, 0.05])
@pytest.mark.parametrize("check_finite", [True, False])
def test_it_stops_when_lightning_does(mode: Any, min_delta: float, check_finite: bool) -> None:
    random = torch.Generator().manual_seed(0)
    for patience in (0, 1, 3):
        mine = Monitor("m", mode, min_delta, patience, check_finite)
        theirs = EarlyStopping("m", min_delta, patience, mode=mode, check_finite=check_finite)
        for value in [*torch.rand(20, generator=random).round(decimals=1), torch.tensor(torch.nan)]:
            mine.improved({"m": value})
            stop, _ = theirs._evaluate_stopping_criteria(value)
            assert (bool(mine.stop), float(mine.best)) == (stop, float(theirs.best_score))
