"""Two processes share the data and report the figures of both."""

import pytest
import torch
from gloo_ranks import measure_digits, run_ranks


@pytest.mark.slow
def test_metrics_and_shares_of_two_processes() -> None:
    alone = measure_digits()
    first, second = run_ranks(measure_digits, 2)
    assert first["loaded by"] == second["loaded by"]  # once, and both have what loading has set
    for name in ("loss", "acc"):
        assert first["val"][name] == second["val"][name] == pytest.approx(alone["val"][name], rel=1e-5)
    assert first["val"]["images"] + second["val"]["images"] == alone["val"]["images"] == 143
    together = torch.cat([first["val"]["labels"], second["val"]["labels"]])
    assert torch.equal(together.sort().values, alone["val"]["labels"].sort().values)  # nothing twice, nothing missing
    assert first["train"]["steps"] == second["train"]["steps"] == 13
    assert (first["train"]["images"], second["train"]["images"]) == (648, 647)
