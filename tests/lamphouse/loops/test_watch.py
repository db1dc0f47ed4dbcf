"""Early stopping against Lightning's own."""

import math

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from lamphouse.loops.watch import Watch


def test_it_counts_epochs_without_a_better_value() -> None:
    watch = Watch("val/acc", "max", patience=2)
    seen = [(watch.improved({"val/acc": torch.tensor(value)}), watch.in_vain) for value in (0.5, 0.6, 0.6, 0.5)]
    assert seen == [(True, False), (True, False), (False, False), (False, True)]
    assert watch.best == torch.tensor(0.6)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("min_delta", [0.0, 0.05])
@pytest.mark.parametrize("check_finite", [True, False])
def test_it_decides_as_lightning_does(mode: str, min_delta: float, check_finite: bool) -> None:
    random = torch.Generator().manual_seed(0)
    for patience in (0, 1, 3):
        mine = Watch("m", mode, patience, min_delta, check_finite)  # type: ignore[arg-type]  # mode is a string here
        theirs = EarlyStopping("m", min_delta, patience, mode=mode, check_finite=check_finite)
        for value in [*torch.rand(20, generator=random).round(decimals=1), torch.tensor(math.nan)]:
            mine.improved({"m": value})
            stop, _ = theirs._evaluate_stopping_criteria(value)
            assert (mine.in_vain, float(mine.best)) == (stop, float(theirs.best_score))
