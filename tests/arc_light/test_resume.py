"""A run that is killed within an epoch and resumed ends with the bits of one that was not."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from arc_light.classification import Classifier

LONGER = ["--trainer.max_epochs=3", "--trainer.limit_train_batches=5", "--last_checkpoint.every_n_steps=2"]


class KilledError(BaseException):
    """Ends a run as a kill does: nothing handles it."""


def test_killed_and_resumed(
    run: Callable[..., Any], options: Callable[[str], list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, calls = Classifier.loss, itertools.count()

    def killed(model: Classifier, batch: Any) -> Any:
        if next(calls) == 9:
            raise KilledError
        return loss(model, batch)

    fit = ["fit", *options("digits_mlp"), *LONGER]
    assert run(*fit, "--runs=whole")[0] == 0
    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "loss", killed)
        with pytest.raises(KilledError):
            run(*fit, "--runs=parts")
    assert run("resume", "--run", *Path("parts").glob("*/*"))[0] == 0
    paths = [path for runs in ("whole", "parts") for path in Path(runs).glob("*/*/last.ckpt")]
    whole, parts = (torch.load(path, weights_only=True)["state_dict"] for path in paths)
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
