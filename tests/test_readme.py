"""The text of README.md and docs/extending.md, followed to the letter."""

import importlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import FEW_BATCHES, ROOT, Outcome
from recipes import RECIPES, fit_options, read_recipe

ROOMS = ("arc_light", "arc_light.models", "arc_light.data")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Follow all recipes in one directory, whose modules are found as if they were in src/."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "configs", folder / "configs")
    for title in RECIPES:
        read_recipe(ROOT, title).write(folder)
    packages = [importlib.import_module(name) for name in ROOMS]
    for package, name in zip(packages, ROOMS, strict=True):
        package.__path__.append(str(folder.joinpath("src", *name.split("."))))
    yield folder
    for package in packages:
        package.__path__.pop()


@pytest.mark.parametrize("title", RECIPES)
def test_recipe(title: str, project: Path, monkeypatch: pytest.MonkeyPatch, arc: Callable[..., Outcome]) -> None:
    recipe = read_recipe(ROOT, title)
    assert len(recipe.commands) == 1
    assert all(len(content.splitlines()) < 30 for content in recipe.files.values())
    monkeypatch.chdir(project)
    few = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--logger=none", *FEW_BATCHES]
    done = arc("fit", *fit_options(recipe.commands[0]), *few, "--runs", title)
    assert done.status == 0, done.err
    (metrics,) = Path(title).glob("*/*/metrics.csv")
    assert "nan" not in metrics.read_text()
    if title == "Add a metric":
        assert "val/f1" in metrics.read_text()
    if title == "Add a callback":
        assert "weight_norm" in metrics.read_text()


def test_every_experiment_is_in_the_table() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "experiments.md").read_text(), re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "configs").glob("*_*.yaml")}


def test_the_front_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180
