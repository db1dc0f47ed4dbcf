"""Runs whose training is left out, for thousands of them to fit into seconds."""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Outcome
from hypothesis import configuration
from tries import forget_runs

Parsed = Callable[..., tuple[Outcome, dict[str, Any] | None]]


@pytest.fixture(autouse=True)
def beside_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what Hypothesis writes out of the repository, and what options set out of other tests."""
    monkeypatch.setattr(configuration, "__hypothesis_home_directory", tmp_path / "hypothesis")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)


@pytest.fixture(autouse=True)
def warnings_are_seen() -> Iterator[None]:
    """Print warnings as they are for a user, who should get one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)  # as Python does
        warnings.showwarning = lambda *args: print(warnings.formatwarning(*args[:4]), file=sys.stderr)
        yield


@pytest.fixture
def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the epochs: all is parsed, checked, built and written down."""
    train = "lamphouse.cli.commands.fit.run_loop"
    monkeypatch.setattr(train, lambda experiment, checkpoint=None: None)


@pytest.fixture
def parsed(fit: Callable[..., Outcome], without_training: None) -> Parsed:
    """Run `fit` without its epochs, and return what it did and the configuration that it wrote, if any."""

    def run(*args: object, **options: Any) -> tuple[Outcome, dict[str, Any] | None]:
        outcome = fit(*args, **options)
        written = [yaml.safe_load(path.read_text()) for path in Path("runs").glob("*/*/config.yaml")]
        forget_runs()
        return outcome, written[0] if written else None

    return run
