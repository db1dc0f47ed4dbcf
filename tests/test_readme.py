"""The README's own text, followed to the letter."""

import gc
import importlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import FEW_BATCHES, ROOT, Outcome
from recipes import RECIPES, fit_options, read_recipe

README = (ROOT / "README.md").read_text()
ROOMS = ("arc_light", "arc_light.models", "arc_light.data")


@pytest.fixture
def project() -> Iterator[None]:
    """Let a copy of the configuration and new modules below src/ be found, and forget them afterwards."""
    shutil.copytree(ROOT / "configs", "configs")
    packages = [importlib.import_module(name) for name in ROOMS]
    folders = [str(Path("src", *name.split(".")).absolute()) for name in ROOMS]
    for package, folder in zip(packages, folders, strict=True):
        package.__path__.append(folder)
    yield
    for package, folder in zip(packages, folders, strict=True):
        package.__path__.remove(folder)
    for name, module in list(sys.modules.items()):
        if name.startswith("arc_light.") and str(getattr(module, "__file__", "")).startswith(tuple(folders)):
            parent, _, child = name.rpartition(".")
            delattr(sys.modules[parent], child)
            del sys.modules[name]
    gc.collect()  # short names of classes are looked up among all subclasses that are alive


@pytest.mark.parametrize("title", RECIPES)
def test_recipe(title: str, project: None, arc: Callable[..., Outcome]) -> None:
    recipe = read_recipe(README, title)
    assert len(recipe.commands) == 1
    assert all(len(content.splitlines()) < 30 for content in recipe.files.values())
    recipe.write(Path())
    few = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", *FEW_BATCHES]
    done = arc("fit", *fit_options(recipe.commands[0]), *few)
    assert done.status == 0, done.err
    (metrics,) = Path("runs").glob("*/*/metrics.csv")
    assert "nan" not in metrics.read_text()


def test_every_experiment_is_in_the_table() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "configs").glob("*_*.yaml")}
