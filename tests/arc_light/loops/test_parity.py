"""The three loops compute the same bits."""

from collections.abc import Callable
from typing import Any


def test_every_bit_is_equal(run: Callable[..., Any], options: Callable[[str], list[object]]) -> None:
    longer = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=5"]
    status, output, error = run("parity", *options("digits_mlp"), *longer)
    assert status == 0, output + error
    assert "the loops computed the same bits" in output
