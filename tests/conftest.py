"""Every test works in an empty directory of its own and leaves the process and the repository as they were."""

import logging
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lamphouse.machine.start import prepare
from arc_light.__main__ import main

prepare()  # before torch is loaded
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # of what a test writes and imports, which would lie beside its files
sys.dont_write_bytecode = True

import torch  # noqa: E402  # after its environment is set

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
FEW_BATCHES = [f"--trainer.limit_{part}_batches=2" for part in ("train", "val", "test")]
LOGGERS = ("", "lightning", "lightning.fabric", "lightning.pytorch", "wandb")


# [part:template]
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: "test_own_tests" not in item.name)


# [/part:template]
@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Restore the environment; Lightning's own settings are none."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("PL_")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def wandb_by_itself(environment: None) -> Iterator[None]:
    """Start W&B without a key, and without a network should anything ask for one."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        del os.environ[name]
    os.environ |= {"WANDB_BASE_URL": "http://127.0.0.1:9", "NETRC": os.devnull, "WANDB_SILENT": "true"}
    yield
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        wandb.teardown()


@pytest.fixture(autouse=True)
def global_state() -> Iterator[None]:
    """Restore what torch, numpy, random and logging keep for the whole process."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  # what others draw from
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    products = torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002  # what others draw from
    torch.set_rng_state(states[2])
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
    torch.set_float32_matmul_precision(products)
    torch.use_deterministic_algorithms(deterministic)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def untouched_repository() -> Iterator[None]:
    """Fail when the tests have left a file in the repository."""
    before = repository_files()
    yield
    assert repository_files() - before == set()


def repository_files() -> set[Path]:
    """List what is there, without caches and without the user's own data and runs."""
    own = {".git", ".venv", ".cache", "data", "runs", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
    entries = [entry for entry in ROOT.iterdir() if entry.name not in own]
    below = [path for entry in entries if entry.is_dir() for path in entry.rglob("*")]
    return {path for path in (*entries, *below) if "__pycache__" not in path.parts}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write a module of the user's own with a class Mine, and take it out of this process afterwards."""

    def write(code: str) -> str:
        Path("own.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))  # afterwards, for it has Python look for modules anew
        return "own.Mine"

    yield write
    sys.modules.pop("own", None)


@pytest.fixture
def fit(arc: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Train an experiment, the digits' by default, for an epoch of a few batches, without a logger."""

    def run(*args: object, experiment: str = "digits_mlp") -> Outcome:
        return arc("fit", *fit_options(experiment), *args)

    return run


def fit_options(experiment: str) -> list[str]:
    files = ["-c", str(CONFIGS / "trainer.yaml"), "-c", str(CONFIGS / f"{experiment}.yaml")]
    return [*files, "--trainer.accelerator=cpu", "--logger=none", "--trainer.max_epochs=1", *FEW_BATCHES]


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the digits for two whole epochs, once for all tests."""
    runs = tmp_path_factory.mktemp("trained")
    options = ["--trainer.max_epochs=2", *(f"--trainer.limit_{part}_batches=1.0" for part in ("train", "val", "test"))]
    main(["fit", *fit_options("digits_mlp"), *options, f"--runs={runs}"])
    return next(runs.glob("*/*"))


@pytest.fixture
def trained(trained_once: Path) -> Path:
    """Copy the trained run, for a test to do with it what it likes."""
    return Path(shutil.copytree(trained_once, Path("runs", "digits_mlp", trained_once.name)))


@pytest.fixture
def arc(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process and return its exit status and what it printed."""

    def run(*args: object) -> Outcome:
        capfd.readouterr()
        status = 0
        try:
            main([str(arg) for arg in args])
        except SystemExit as error:
            status = int(error.code or 0)
        return Outcome(status, *capfd.readouterr())

    return run
