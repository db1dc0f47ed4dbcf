"""The check of numbers changes no bit of what it looks at."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import AUTOMATIC, HANDWRITTEN, MANUAL, Case, one_thread, train

CASES = [Case(accumulate=3, clip="norm", ema=0.9), Case(model="resnet", precision="fp16", schedule="one_cycle")]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step..` before `optimizer.step:UserWarning")
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("loop", [HANDWRITTEN, MANUAL, AUTOMATIC])
def test_the_same_bits_with_and_without(loop: str, case: Case, tmp_path: Path) -> None:
    with one_thread():
        on, off = (train(loop, replace(case, check_finite=check), tmp_path / str(check)) for check in (True, False))
    assert on.trace.losses() == off.trace.losses()
    assert on.trace.entries == off.trace.entries
    assert all(torch.equal(on.last[name], tensor) for name, tensor in off.last.items())
