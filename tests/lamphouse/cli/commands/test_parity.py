"""`parity` on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule

from arc_light.loops.manual import ManualOptimization

CONFIGS = Path(__file__).parents[4] / "configs"
DIGITS = ["-c", CONFIGS / "trainer.yaml", "-c", CONFIGS / "digits_mlp.yaml", "--trainer.accelerator=cpu"]
QUICK = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=5",
    "--model.dropout=0.2",
    "--model.hidden_sizes=[16]",
]
Arc = Callable[..., Any]


def test_the_loops_agree_and_leave_nothing_behind(arc: Arc) -> None:
    done = arc("parity", *DIGITS, *QUICK)
    assert done.status == 0
    header, *rows, _, verdict = done.out.strip().splitlines()
    assert header.split()[0] == "loop"
    assert [row.split()[0] for row in rows] == ["handwritten", "manual", "automatic"]
    assert [row.split()[-3] for row in rows] == ["-", "none", "none"]
    assert [row.split()[-4] for row in rows] == ["0.0e+00"] * 3
    assert rows[0].split()[-1] == "1.00"
    assert len({tuple(row.split()[1:-4]) for row in rows}) == 1
    assert verdict == "the loops computed the same bits: 10 steps, 4 tensors, 3 rows of metrics"
    assert not list(Path().iterdir())


def test_a_difference_is_an_error_that_says_where_to_look(arc: Arc, monkeypatch: pytest.MonkeyPatch) -> None:
    backward = LightningModule.manual_backward
    monkeypatch.setattr(ManualOptimization, "manual_backward", lambda model, loss: backward(model, loss * 2))
    done = arc("parity", *DIGITS, *QUICK)
    assert done.status == 1
    manual, automatic = done.out.splitlines()[3:5]
    assert "factor of the loss, step 0" in manual
    assert float(manual.split("factor")[0].split()[-1]) > 0
    assert "none" in automatic
    verdict = "manual differs from handwritten first in factor of the loss, step 0; look at the factor of the loss"
    assert verdict in done.out


@pytest.mark.parametrize("loop", ["--loop=manual", "--loop"])
def test_it_chooses_the_loops_itself(arc: Arc, loop: str) -> None:
    done = arc("parity", *DIGITS, loop)
    assert done.status == 2
    _, message = done.err.split(": ", 1)
    assert message == f"{loop}: parity runs every loop: leave it out\n"


def test_a_loop_that_cannot_do_it_is_left_out(arc: Arc) -> None:
    done = arc("parity", *DIGITS, *QUICK, "--trainer.max_steps=3")
    assert done.status == 0
    assert "the handwritten loop is left out: --trainer.max_steps 3: not supported by the hand-written loop" in done.err
    assert "the loops computed the same bits: 3 steps" in done.out
    done = arc("parity", *DIGITS, *QUICK, "--trainer.limit_val_batches=0")
    assert "the handwritten loop is left out: --trainer.limit_val_batches 0: no batch of" in done.err
    assert done.status == 0
