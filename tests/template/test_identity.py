"""This repository's own names and everything selected give this repository, without the template's machinery."""

from functools import cache, partial

from projects import LIVING, ROOT

from arc_light_scaffold.fences import strip_fences
from arc_light_scaffold.lock import prune_lock, requirements
from arc_light_scaffold.manifest import Manifest, derived
from arc_light_scaffold.plan import make_plan, spell
from arc_light_scaffold.tracked import tracked_files

MANIFEST = Manifest.read(ROOT)
living_plan = cache(partial(make_plan, ROOT, LIVING))


def test_same_files() -> None:
    assert set(living_plan()) == {path for path in tracked_files(ROOT) if "template" not in MANIFEST.parts(path)}


def test_same_content() -> None:
    for path in set(living_plan()) - {"requirements.lock"}:
        living = (ROOT / path).read_bytes()
        if b"\0" not in living and not MANIFEST.is_unchanged(path):
            text, spellings = strip_fences(living.decode(), {"template"}), MANIFEST.spellings(path, derived(LIVING))
            living = spell(text, spellings).encode()
        assert living_plan()[path].content == living, path


def test_same_lock_except_for_what_only_the_template_requires() -> None:
    living, ours = (ROOT / "requirements.lock").read_text(), living_plan()["requirements.lock"].content.decode()
    pyproject = (ROOT / "pyproject.toml").read_text()
    dropped = requirements(pyproject) - requirements(strip_fences(pyproject, {"template"}))
    assert {"allpairspy", "cookiecutter", "cruft", "hypothesis", "ipykernel", "jsonschema", "nbclient"} == dropped
    assert prune_lock(living, set()) == living
    assert ours == prune_lock(living, dropped)


def test_same_permissions() -> None:
    executable = {path for path in living_plan() if (ROOT / path).stat().st_mode & 0o100}
    assert executable == {path for path, file in living_plan().items() if file.executable}
