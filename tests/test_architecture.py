"""The rules of the house: what may import what, and what a file, a class and a function may be.

Each test fails with the lines that break its rule.
"""

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

SOURCE = ROOT / "src"
PROJECT, PARTS = "arc_light", "lamphouse"
FILES = sorted(SOURCE.rglob("*.py"))
LAYERS = (  # each imports only what stands above it
    {"errors"},
    {"files"},
    {"machine", "shards"},
    {"monitoring", "overhead"},
    {"data", "optim", "metrics"},
    {"networks", "resnets", "checkpoints", "runs"},
    {"finetuning"},
    {"task"},
    {"callbacks", "loggers", "export", "pages"},
    {"loops", "doctor"},
    {"search"},
    {"cli"},
)
COMMAND_LINE_ONLY = {"LightningCLI", "Namespace", "Experiment"}
PRIVATE_NAMES = yaml.safe_load((ROOT / "tests" / "private_names.yaml").read_text())
TOP_LEVEL = {
    "errors",
    "files",
    "finetuning",
    "metrics",
    "monitoring",
    "networks",
    "overhead",
    "resnets",
    "shards",
    "task",
}
DOCUMENTED = {"_asdict", "_exit", "_getframe"}  # public in Python's own documentation
LEFTOVERS = {"utils", "util", "helpers", "helper", "common", "misc"}
UNCLEAR = {"late", "ending", "bar", "keeper", "limits", "watch", "direct", "by_hand", "trial", "built", "place"}
MOST_LINES = {PROJECT: 150, PARTS: 250}
MOST_LINES_OF_A_FUNCTION = 30
FILES_OF_A_ROOM = range(3, 9)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def files(package: str) -> list[Path]:
    return [path for path in FILES if package in path.relative_to(SOURCE).parts[:1]]


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def listed(lines: list[str]) -> str:
    """Put each line that breaks a rule on a line of its own."""
    return "\n".join(["", *sorted(lines)])


def module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path): path for path in FILES}


def imports(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """Yield the line, the module and, of `from`, the name of every import in a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{at(path, node.lineno)}: relative import"
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the module of every import of this repository's own."""
    for line, source, name in imports(path):
        whole = f"{source}.{name}" if name else source
        found = whole if whole in MODULES else source
        if found.split(".")[0] in {PROJECT, PARTS}:
            yield line, found


def room(name: str) -> str:
    return name.partition(".")[2].partition(".")[0]


def layer(name: str) -> int:
    return next((number for number, rooms in enumerate(LAYERS) if room(name) in rooms), -1)


def test_the_parts_never_name_the_project() -> None:
    spellings = re.compile(r"arc[\W_]?light", re.IGNORECASE)
    lines = [
        at(path, number)
        for path in files(PARTS)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if spellings.search(line)
    ]
    assert not lines, listed(lines)


def test_the_project_imports_what_rooms_export() -> None:
    broken = []
    for path in files(PROJECT):
        for line, source, name in imports(path):
            package, *inner = source.split(".")
            if package == PARTS and not (len(inner) == 1 and (inner[0] in TOP_LEVEL or name in exports(source))):
                broken.append(f"{at(path, line)}: {source}.{name}")
    assert not broken, listed(broken)


def exports(name: str) -> set[str]:
    names = [node for node in ast.walk(tree(MODULES[name])) if isinstance(node, ast.Assign)]
    lists = [node.value for node in names if any(getattr(target, "id", "") == "__all__" for target in node.targets)]
    return {str(ast.literal_eval(element)) for value in lists for element in getattr(value, "elts", [])}


def test_only_the_command_line_knows_an_experiment() -> None:
    outside = [path for path in FILES if "cli" not in path.parts]
    broken = [
        f"{at(path, getattr(node, 'lineno', 1))}: {name}"
        for path in outside
        for node in ast.walk(tree(path))
        for name in (getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None))
        if name in COMMAND_LINE_ONLY
    ]
    assert not broken, listed(broken)


def test_rooms_import_only_what_stands_above_them() -> None:
    broken = [
        f"{at(path, line)}: {source}"
        for path in files(PARTS)
        for line, source in imported_modules(path)
        if room(source) != room(module(path)) and layer(source) >= layer(module(path)) >= 0
    ]
    assert not broken, listed(broken)


def test_every_room_has_its_layer() -> None:
    assert {room(name) for name in MODULES if name.startswith(f"{PARTS}.")} == set().union(*LAYERS)


def test_no_circle_of_files() -> None:
    graph = {module(path): {source for _, source in imported_modules(path)} for path in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def private_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the private names of other packages that a file uses."""
    for node in ast.walk(tree(path)):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "hasattr", "setattr"}:
            names = [str(argument.value) for argument in node.args[1:2] if isinstance(argument, ast.Constant)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] not in {PROJECT, PARTS}:
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        for name in names:
            if re.match(r"_[a-zA-Z]", name) and name not in own_private_names() | DOCUMENTED:
                yield getattr(node, "lineno", 1), name


def overridden_private_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the private methods of other packages' classes that a file's classes override."""
    found = import_module(module(path)) if path.name != "__main__.py" else None
    for cls in [value for value in vars(found).values() if isinstance(value, type)] if found else ():
        foreign = [base for base in cls.__mro__ if base.__module__.partition(".")[0] not in {PROJECT, PARTS}]
        for name, value in vars(cls).items() if cls.__module__ == module(path) else ():
            is_private = (
                inspect.isfunction(value) and re.match(r"_[a-zA-Z]", name) and not name.startswith(f"_{cls.__name__}")
            )
            if is_private and any(name in vars(base) for base in foreign):
                yield inspect.getsourcelines(value)[1], name


@cache
def own_private_names() -> set[str]:
    nodes = [node for path in FILES for node in ast.walk(tree(path))]
    stored = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined = {node.name for node in nodes if isinstance(node, Function | ast.ClassDef)}
    foreign = {name for entries in PRIVATE_NAMES.values() for name in entries}
    return (stored | names | defined) - foreign


def test_private_names_of_others_are_listed_with_a_reason_and_a_test() -> None:
    used = {
        (str(path.relative_to(SOURCE)), name): at(path, line)
        for path in FILES
        for find in (private_names, overridden_private_names)
        for line, name in find(path)
    }
    allowed = {(path, name) for path, entries in PRIVATE_NAMES.items() for name in entries}
    unlisted = [f"{where}: {name}" for (path, name), where in used.items() if (path, name) not in allowed]
    assert not unlisted, listed(unlisted)
    assert sorted(allowed - used.keys()) == [], "listed, and not used any more"
    assert [path for path in PRIVATE_NAMES if not path.startswith(PARTS)] == []
    for entries in PRIVATE_NAMES.values():
        for entry in entries.values():
            assert entry["reason"]
            file, _, test = entry["test"].partition("::")
            assert f"def {test}(" in (ROOT / file).read_text(), entry["test"]


def test_no_tricks_outside_the_start() -> None:
    broken = []
    for path in FILES:
        if path.parent.name == "machine" and path.stem in {"start", "late_imports", "late_modules"}:
            continue
        tricks = {"__class__"} if path.name == "overhead.py" else {"__class__", "__signature__"}  # it says why
        for node in ast.walk(tree(path)):
            stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            attribute = getattr(node, "attr", "")
            if (stored and attribute in tricks) or ast.unparse(node) == "sys.modules":
                broken.append(f"{at(path, getattr(node, 'lineno', 1))}: {attribute}")
    assert not broken, listed(broken)


def test_names_explain_themselves() -> None:
    names = {path: path.stem for path in FILES if path.stem in LEFTOVERS | UNCLEAR}
    functions = [
        f"{at(path, node.lineno)}: {node.name}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, Function | ast.ClassDef) and node.name in UNCLEAR
    ]
    assert (names, functions) == ({}, [])


def test_nothing_happens_at_import() -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    broken = []
    for path in FILES:
        for node in tree(path).body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_entry = path.name == "__main__.py" and isinstance(node, ast.If)
            if not (isinstance(node, allowed) or is_docstring or is_entry):
                broken.append(at(path, node.lineno))
    assert not broken, listed(broken)


def test_a_class_is_abstract_or_final() -> None:
    nodes = {
        node.name: (path, node) for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)
    }
    bases = {ast.unparse(base).split("[")[0] for _, node in nodes.values() for base in node.bases}
    inherited = {name: nodes[name] for name in nodes.keys() & bases}
    assert {"Classifier", "ImageDataModule", "Task", "TensorDataModule"} <= inherited.keys()
    concrete = [
        f"{at(path, node.lineno)}: {name}"
        for name, (path, node) in inherited.items()
        if "(abstract" not in (ast.get_docstring(node) or "").partition("\n\n")[0]
    ]
    assert not concrete, listed(concrete)


def test_every_name_of_a_class_is_used_once() -> None:
    names = Counter(node.name for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_the_step_is_written_once() -> None:
    users = [module(path) for path in FILES if "cross_entropy(" in path.read_text()]
    assert all(user.count(".") == 1 for user in users), listed(users)  # a task each


@pytest.mark.parametrize("package", [PROJECT, PARTS])
def test_files_are_neither_long_nor_many(package: str) -> None:
    lengths = {at(path, len(path.read_text().splitlines())): path for path in files(package)}
    long = [where for where in lengths if int(where.rpartition(":")[2]) > MOST_LINES[package]]
    assert not long, listed(long)
    if package == PARTS:
        one_file_each = SOURCE / PARTS / "cli" / "commands"
        folders = {path.parent for path in files(package)} - {SOURCE / PARTS, one_file_each}
        counts = {folder: len([path for path in folder.glob("*.py") if path.stem != "__init__"]) for folder in folders}
        rooms = [f"{folder.relative_to(ROOT)}: {n} files" for folder, n in counts.items() if n not in FILES_OF_A_ROOM]
        assert not rooms, listed(rooms)


def test_functions_are_small() -> None:
    broken = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, Function):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                length = (body[-1].end_lineno or 0) - body[0].lineno + 1
                if length > MOST_LINES_OF_A_FUNCTION:
                    broken.append(f"{at(path, node.lineno)} {node.name}: {length} lines")
    assert not broken, listed(broken)


def test_from_the_start_to_fit_are_three_files() -> None:
    """The entry point calls `lamphouse.cli.main`, which imports a command, which calls `Trainer.fit`."""
    entry = {source for _, source in imported_modules(SOURCE / PROJECT / "__main__.py")}
    assert entry & {f"{PARTS}.cli", f"{PARTS}.cli.main"}
    assert "cli.commands" in (SOURCE / PARTS / "cli" / "main.py").read_text()
    assert ".fit(" in (SOURCE / PARTS / "cli" / "commands" / "fit.py").read_text()


def test_the_tests_mirror_the_parts() -> None:
    rooms = {path.name for path in (SOURCE / PARTS).iterdir() if path.is_dir()} - {"__pycache__"}
    tested = {path.name for path in (ROOT / "tests" / PARTS).iterdir() if path.is_dir()}
    assert rooms <= tested
