"""The rules of the house: what may import what, and what a module and a class may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = "arc_light"
SOURCE = ROOT / "src" / PACKAGE
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

FORBIDDEN = {  # what a room must not import of the others
    "networks": {"callbacks", "cli", "commands", "data", "errors", "experiment", "loops", "models", "optim", "runs"},
    "data": {"callbacks", "cli", "commands", "experiment", "loops", "models", "networks", "optim", "runs"},
    "optim": {"callbacks", "cli", "commands", "data", "experiment", "loops", "models", "networks", "runs"},
    "models": {"callbacks", "cli", "commands", "data", "experiment", "loops", "runs"},
    "callbacks": {"cli", "commands", "data", "experiment", "models", "networks"},
    "loops": {"cli", "commands", "data", "models", "networks"},
}
TORCH_ALONE = {"torch", "torchvision"}


def modules(path: Path) -> Iterator[str]:
    """Name every module that a file imports, with what it takes from it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(path: Path) -> set[str]:
    """Name the rooms of this package that a file imports."""
    parts = [module.split(".") for module in modules(path)]
    return {names[1] for names in parts if names[0] == PACKAGE and len(names) > 1}


@pytest.mark.parametrize("room", [room for room in FORBIDDEN if (SOURCE / room).is_dir()])
def test_everything_flows_one_way(room: str) -> None:
    for path in (SOURCE / room).rglob("*.py"):
        assert not rooms(path) & FORBIDDEN[room], path


def test_networks_are_torch_alone() -> None:
    allowed = TORCH_ALONE | {PACKAGE, "collections", "itertools", "math", "typing", "functools", "abc"}
    for path in (SOURCE / "networks").rglob("*.py"):
        assert {module.split(".")[0] for module in modules(path)} <= allowed, path


def test_nothing_imports_the_command_line() -> None:
    users = {path.name for path in FILES if "cli" in rooms(path)}
    assert users == {"__main__.py"}


def test_only_commands_import_commands() -> None:
    users = {path.parent.name for path in FILES if "commands" in rooms(path)}
    assert users <= {"commands"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_there_is_no_utils_module(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_happens_at_import(path: Path) -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for node in ast.parse(path.read_text()).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_entry = path.name == "__main__.py" and isinstance(node, ast.If)
        assert isinstance(node, allowed) or is_docstring or is_entry, f"{path}:{node.lineno}"


def classes() -> dict[str, ast.ClassDef]:
    nodes = [node for path in FILES for node in ast.walk(ast.parse(path.read_text()))]
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


def test_a_class_is_abstract_or_final() -> None:
    found = classes()
    bases = {ast.unparse(base).split("[")[0] for node in found.values() for base in node.bases}
    inherited = {name: node for name, node in found.items() if name in bases}
    assert {"Augmentation", "Classifier", "ImageDataModule", "RunLengthLR"} <= set(inherited)
    for name, node in inherited.items():
        assert "(abstract)" in (ast.get_docstring(node) or "").split(":")[0], name


def test_one_training_step() -> None:
    """No file but the classifier's computes a loss from a batch."""
    users = [path.name for path in FILES if "cross_entropy(" in path.read_text()]
    assert users == ["classifier.py"]


def test_the_tests_mirror_the_source() -> None:
    rooms_with_tests = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} - {"__pycache__"}
    rooms_of_source = {path.name for path in SOURCE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert rooms_of_source <= rooms_with_tests
