"""Norms of gradients, by hand and in the loops."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from same_runs import run_in
from stock import QUIET

from lamphouse.callbacks import GradientNorms
from lamphouse.callbacks.gradients import gradient_norms
from lamphouse.checkpoints import load_checkpoint
from lamphouse.loggers import MetricsTable


class Layers(BoringModel):
    """Two layers, whose gradients it remembers before they are clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Sequential(torch.nn.Linear(32, 8), torch.nn.Linear(8, 2, bias=False))
        self.seen: list[list[torch.Tensor]] = []

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.seen.append([parameter.grad.clone() for parameter in self.parameters() if parameter.grad is not None])


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("accumulated", [1, 2])
def test_the_norm_is_that_before_clipping_and_the_share_is_of_a_layer(accumulated: int) -> None:
    model, options = Layers(), {"gradient_clip_val": 1e-3, "accumulate_grad_batches": accumulated, "max_epochs": 1}
    options["log_every_n_steps"] = 1
    own = {"logger": MetricsTable("metrics.csv"), "callbacks": [GradientNorms(2)]}
    Trainer(**QUIET | options | own).fit(model)
    rows = table(Path("steps.csv"))
    assert [int(row["step"]) for row in rows] == list(range(1, 4 // accumulated, 2))
    for row in rows:
        weight, bias, second = model.seen[int(row["step"])]
        squares = {
            "layer.0": float(weight.square().sum() + bias.square().sum()),
            "layer.1": float(second.square().sum()),
        }
        largest = max(squares, key=lambda name: squares[name])
        total = sum(squares.values())
        assert float(row["gradients/norm"]) == pytest.approx(total**0.5, rel=1e-5)
        assert float(row["gradients/largest_share"]) == pytest.approx(squares[largest] / total, rel=1e-5)
        assert row[f"gradients/share/{largest}"] == row["gradients/largest_share"]


def test_gradients_that_are_none_zero_or_not_finite_have_no_share() -> None:
    model = Layers()
    optimizer = torch.optim.SGD(model.layer[1].parameters(), lr=1)
    assert gradient_norms(model, optimizer) == {"gradients/norm": 0}
    model.layer[0].weight.grad = torch.ones(8, 32)  # of another optimizer
    model.layer[1].weight.grad = torch.zeros(2, 8)
    assert gradient_norms(model, optimizer) == {"gradients/norm": 0}
    model.layer[1].weight.grad[0, 0] = torch.inf
    assert gradient_norms(model, optimizer) == {"gradients/norm": torch.inf}


@pytest.mark.slow
def test_loops_log_the_same_norms_and_train_the_same_weights_in_float16(fit: Callable[..., Outcome]) -> None:
    options = ["--trainer.gradient_clip_val=0.1", "--trainer.accumulate_grad_batches=2", "--trainer.precision=16-mixed"]
    loops = ("automatic", "manual", "handwritten")
    for runs, own in (*((loop, ["--gradient_norms=1", f"--loop={loop}"]) for loop in loops), ("without", [])):
        assert fit(*options, *own, "--trainer.limit_train_batches=3", f"--runs={runs}").status == 0
    tables = [table(next(Path(runs).glob("*/*/steps.csv"))) for runs in loops]
    assert tables[0] == tables[1] == tables[2]
    assert [row["step"] for row in tables[0]] == ["0", "1"]
    assert all(float(row["gradients/norm"]) > 0.1 for row in tables[0])
    assert [float(row["gradients/clipped_norm"]) for row in tables[0]] == pytest.approx([0.1, 0.1], rel=1e-4)
    checkpoints = [load_checkpoint(run_in(runs) / "last.ckpt") for runs in ("automatic", "without")]
    assert checkpoints[0]["MixedPrecision"]["scale"] == 2**16
    weights = [checkpoint["state_dict"] for checkpoint in checkpoints]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
