"""The living project's own names and everything selected give the living project."""

from functools import cache, partial

import pytest
from projects import LIVING, ROOT

from arc_light_scaffold.fences import strip_fences
from arc_light_scaffold.lock import prune_lock, requirements
from arc_light_scaffold.manifest import Manifest
from arc_light_scaffold.plan import make_plan
from arc_light_scaffold.tracked import tracked_files

MACHINERY = {"template"}
living_plan = cache(partial(make_plan, ROOT, LIVING))


def test_same_files() -> None:
    manifest = Manifest.read(ROOT)
    living = {path for path in tracked_files(ROOT) if "template" not in manifest.parts(path)}
    assert set(living_plan()) == living


@pytest.mark.parametrize("path", sorted(set(living_plan()) - {"requirements.lock"}))
def test_same_content(path: str) -> None:
    living = (ROOT / path).read_bytes()
    if b"\0" not in living:
        living = strip_fences(living.decode(), MACHINERY).encode()
    assert living_plan()[path].content == living


def test_same_lock_but_for_the_template_s_own_requirements() -> None:
    living, ours = (ROOT / "requirements.lock").read_text(), living_plan()["requirements.lock"].content.decode()
    pyproject = (ROOT / "pyproject.toml").read_text()
    dropped = requirements(pyproject) - requirements(strip_fences(pyproject, MACHINERY))
    assert {"cookiecutter", "cruft"} == dropped
    assert prune_lock(living, set()) == living
    assert ours == prune_lock(living, dropped)


def test_same_permissions() -> None:
    plan = living_plan()
    executable = {path for path in plan if (ROOT / path).stat().st_mode & 0o100}
    assert executable == {path for path, file in plan.items() if file.executable}
