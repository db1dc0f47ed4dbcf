"""A curve by step."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome


@pytest.mark.parametrize("loop", ["automatic", "manual", "handwritten"])
def test_each_loop_logs_the_mean_of_the_steps_since_the_last_time(fit: Callable[..., Outcome], loop: str) -> None:
    fit(f"--loop={loop}", "--trainer.limit_train_batches=3", "--trainer.max_epochs=2", "--trainer.log_every_n_steps=2")
    steps, every = table("steps.csv"), table("metrics.csv")
    assert [row["step"] for row in steps] == ["1", "3", "5"]
    assert {"steps/loss", "steps/acc"} < steps[0].keys()
    second = [float(row["steps/loss"]) for row in steps[1:]]  # of one step and of two
    assert (second[0] + 2 * second[1]) / 3 == pytest.approx(float(every[1]["train/loss"]))


def table(name: str) -> list[dict[str, str]]:
    (path,) = Path("runs").glob(f"*/*/{name}")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_with_accumulated_gradients_a_step_is_logged_once(fit: Callable[..., Outcome]) -> None:
    fit("--trainer.limit_train_batches=5", "--trainer.accumulate_grad_batches=2", "--trainer.log_every_n_steps=1")
    assert [row["step"] for row in table("steps.csv")] == ["0", "1", "2"]
