"""Upper bounds of what an owner has to own and of what this repository keeps, counted as `wc -l` counts."""

from collections.abc import Iterable

from projects import ROOT, SMALLEST, planned

from arc_light_scaffold.plan import File
from arc_light_scaffold.tracked import tracked_files

# files of features that version 0.1 had not; the bound is for what it had
ADDED = ["cli/project.py", "data/datamodule.py", "loggers/make.py", "metrics.py", "networks.py"]


def lines_below(folder: str) -> int:
    sources = [path for path in tracked_files(ROOT) if path.startswith(f"{folder}/") and path.endswith(".py")]
    return sum((ROOT / path).read_bytes().count(b"\n") for path in sources)


def lines(files: Iterable[tuple[str, File]]) -> int:
    return sum(file.content.count(b"\n") for path, file in files if path.endswith(".py"))


def test_the_smallest_project_is_small() -> None:
    plan = planned(**SMALLEST)
    source = [(path, file) for path, file in plan.items() if path.startswith("src/leaf_counter/")]
    assert len(source) <= 10
    assert lines(source) <= 300
    assert lines((path, file) for path, file in plan.items() if path.startswith("tests/")) <= 250
    assert plan["Makefile"].content.count(b"\n") <= 100


def test_the_project_with_everything() -> None:
    assert lines_below("src/arc_light") <= 1000


def test_the_parts() -> None:
    added = sum((ROOT / "src/lamphouse" / file).read_bytes().count(b"\n") for file in ADDED)
    assert lines_below("src/lamphouse") - added <= 4800


def test_the_scaffold() -> None:
    assert lines_below("arc_light_scaffold") <= 650
