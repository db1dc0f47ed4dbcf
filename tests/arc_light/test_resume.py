"""A run that is killed within an epoch and resumed ends with the bits of one that was not."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from arc_light.classification import Classifier

MAKEFILE = Path(__file__).parents[2] / "Makefile"
LONGER = ["--trainer.max_epochs=3", "--trainer.limit_train_batches=5", "--last_checkpoint.every_n_steps=2"]


class KilledError(BaseException):
    """Ends a run as a kill does: nothing handles it."""


def test_killed_and_resumed(
    run: Callable[..., Any], options: Callable[[str], list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (experiment,) = re.findall(r"^EXPERIMENT \?= (\w+)", MAKEFILE.read_text(), re.MULTILINE)
    fit = ["fit", *options(experiment), *LONGER]
    assert run(*fit, "--runs=whole")[0] == 0
    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "loss", killed_at_call(9))
        with pytest.raises(KilledError):
            run(*fit, "--runs=parts")
    assert run("resume", "--run", *Path("parts").glob("*/*"))[0] == 0
    whole, parts = (state(folder) for folder in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def killed_at_call(number: int) -> Callable[..., Any]:
    loss, calls = Classifier.loss, itertools.count()

    def counted(model: Classifier, batch: Any) -> Any:
        if next(calls) == number:
            raise KilledError
        return loss(model, batch)

    return counted


def state(runs: str) -> dict[str, torch.Tensor]:
    (path,) = Path(runs).glob("*/*/last.ckpt")
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return weights
