"""Upper bounds of what an owner has to own and of what this repository keeps, counted as `wc -l` counts."""

import re
from collections.abc import Iterable

import pytest
from projects import ROOT, SMALLEST, planned

from arc_light_scaffold.manifest import Manifest, matches
from arc_light_scaffold.plan import File
from arc_light_scaffold.tracked import tracked_files

# lines of each room of the parts, and of what stands above the rooms; version 0.2 had 4,721 in all for what version 0.1
# did, and what came later has its own room or raised a bound
PARTS = {
    "callbacks": 690,
    "checkpoints": 1330,
    "cli": 1130,
    "cli/checks": 625,
    "cli/commands": 2950,
    "data": 1580,
    "doctor": 375,
    "export": 425,
    "loggers": 935,
    "loops": 900,
    "machine": 975,
    "optim": 300,
    "pages": 500,
    "runs": 500,
    "search": 725,
}


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
    assert plan["Makefile"].content.count(b"\n") <= 110


TASKS = {"segmentation": 335, "language": 305}  # lines that a task adds: itself, its networks and its data sets


def test_the_project_with_everything() -> None:
    added, patterns = 0, Manifest.read(ROOT).data["parts"]
    for task, most in TASKS.items():
        files = [path for path in tracked_files(ROOT) if matches(patterns[task], path)]
        own = sum((ROOT / path).read_bytes().count(b"\n") for path in files if re.match(r"src/.*\.py$", path))
        assert 0 < own <= most
        added += own
    assert lines_below("src/arc_light") - added <= 1000


@pytest.mark.parametrize("room", PARTS)
def test_a_room_of_the_parts(room: str) -> None:
    inner = [other for other in PARTS if other.startswith(f"{room}/")]
    folder = f"src/lamphouse/{room}"
    assert lines_below(folder) - sum(lines_below(f"src/lamphouse/{other}") for other in inner) <= PARTS[room]


def test_all_parts() -> None:
    assert lines_below("src/lamphouse") <= 15_175


def test_the_scaffold() -> None:
    assert lines_below("arc_light_scaffold") <= 650
