"""The three loops compute the same bits."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAKEFILE = Path(__file__).parents[3] / "Makefile"


def test_every_bit_is_equal(run: Callable[..., Any], options: Callable[[str], list[object]]) -> None:
    (experiment,) = re.findall(r"^EXPERIMENT \?= (\w+)", MAKEFILE.read_text(), re.MULTILINE)
    several = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=5"]
    status, output, error = run("parity", *options(experiment), *several)
    assert status == 0, output + error
    assert "the loops computed the same bits" in output
