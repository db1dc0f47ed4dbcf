"""Fences, imports, mentions and the lock, each on a text of its own."""

import re

import pytest

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.fences import strip_fences
from arc_light_scaffold.lock import prune_lock, requirements
from arc_light_scaffold.mentions import drop_definitions, drop_entries
from arc_light_scaffold.plan import spell
from arc_light_scaffold.python_source import drop_imports, wrap_imports

FENCED = """\
a
# [part:x]
b
<!-- [part:y,x] -->
c
<!-- [/part:y,x] -->
# [/part:x]
d # why [part:y]
e # [part:x]
f
"""


@pytest.mark.parametrize(
    ("left_out", "kept"),
    [(set(), "abcd # whyef"), ({"x"}, "ad # whyf"), ({"y"}, "abef"), ({"x", "y"}, "af"), ({"z"}, "abcd # whyef")],
)
def test_fences(left_out: set[str], kept: str) -> None:
    assert strip_fences(FENCED, left_out).replace("\n", "") == kept


@pytest.mark.parametrize(
    "text", ["# [part:x]\na\n", "a\n# [/part:x]\n", "# [part:x]\n# [part:y]\n# [/part:x]\n# [/part:y]\n"]
)
def test_fences_that_do_not_pair(text: str) -> None:
    with pytest.raises(TemplateError, match=r"part:x.* not"):
        strip_fences(text, set())


@pytest.mark.parametrize("text", ["see [part: one]\n", "x[part:y] = 1\n", "# [part:x] is a mark\n"])
def test_no_fences(text: str) -> None:
    assert strip_fences(text, {"x", "y", "one"}) == text


def test_exports_of_a_left_out_module_go() -> None:
    text = 'from a.one import One, Uno\nfrom a.two import Two\n\n__all__ = ["One", "Two", "Uno"]\n'
    assert drop_imports(text, text, {"a.one"}) == 'from a.two import Two\n\n__all__ = ["Two"]\n'
    assert drop_imports(text, text, {"a.two"}) == 'from a.one import One, Uno\n\n__all__ = ["One", "Uno"]\n'
    lines = '__all__ = [\n    "One",\n    "Two",\n]\n'
    text = f"from a.one import One\nfrom a.two import Two\n\n{lines}"
    assert drop_imports(text, text, {"a.one"}) == 'from a.two import Two\n\n__all__ = [\n    "Two",\n]\n'


def test_imports_of_a_package_s_modules_go_but_not_of_its_namesakes() -> None:
    text = "from a.b.c import d\nfrom a.bc import e\n\n\ndef f():\n    from a.b import g\n\n    return 1\n"
    assert "a.b.c" not in drop_imports(text, text, {"a.b"})
    assert "from a.bc import e" in drop_imports(text, text, {"a.b"})
    assert "from a.b import g" not in drop_imports(text, text, {"a.b"})


def test_imports_that_only_pruned_lines_used_go() -> None:
    start = "import os\nimport sys\nfrom a import b, c  # why\nfrom d import (\n    e,\n    f,\n)\n\n"
    before = start + "print(os, c, e)\nprint(b, f, sys.path)\n"
    after = start + "print(os, c, e)\n"
    assert (
        drop_imports(after, before, set())
        == "import os\nfrom a import c  # why\nfrom d import (\n    e,\n)\n\nprint(os, c, e)\n"
    )


def test_imports_for_their_effect_stay() -> None:
    text = "import a.effect  # noqa: F401\n\nprint(1)\n"
    assert drop_imports(text, text + "print(2)\n", set()) == text


@pytest.mark.parametrize(
    ("table", "rest"),
    [
        ('A = ("x", "gone", "y")\n', 'A = ("x", "y")\n'),
        ('A = ["gone", "ü gone", "y"]\n', 'A = ["y"]\n'),
        ('A = ["ü", "gone 1", "gone 2"]\n', 'A = ["ü"]\n'),
        (
            'A: dict[str, int] = {\n    "gone": 1,\n    "y": 2,  # why\n}\n',
            'A: dict[str, int] = {\n    "y": 2,  # why\n}\n',
        ),
        ('A = {\n    "x": 1,\n    "y": f("gone"),\n}\n', 'A = {\n    "x": 1,\n}\n'),
        ('A = ["gone"]\n', 'A = ["gone"]\n'),
        ('A = {"x": {"gone", "y"}, "z": {"gone"}}\n', 'A = {"x": {"y"}}\n'),
        ('f(["x", "gone"])\n', 'f(["x", "gone"])\n'),
        ('@p("a", [("x", 1), ("gone", 2)])\ndef f(): ...\n', '@p("a", [("x", 1)])\ndef f(): ...\n'),
    ],
)
def test_entries_go_with_what_they_mention(table: str, rest: str) -> None:
    assert drop_entries(table, re.compile("gone")) == rest


DEFINITIONS = """\
import a

GONE = 1

# of another
OTHER = 2


@fixture
def helper():
    return GONE


@mark("gone")
def test_decorated(): ...


def test_kept(monkeypatch):
    assert OTHER


def test_that_uses_a_helper(helper): ...


@mark.usefixtures("helper")
def test_that_uses_it_by_name(): ...


def test_also_kept(): ...
"""


def test_definitions_go_with_what_they_mention_and_use() -> None:
    kept = "import a\n\n# of another\nOTHER = 2\n\n\ndef test_kept(monkeypatch):\n    assert OTHER\n"
    kept += "\n\ndef test_also_kept(): ...\n"
    assert drop_definitions(DEFINITIONS, re.compile("gone", re.I)) == kept
    assert drop_definitions(DEFINITIONS, re.compile("nothing")) == DEFINITIONS


LOCK = """\
alpha==1 \\
    --hash=sha256:1 \\
    --hash=sha256:2
    # via project (pyproject.toml)
beta==2 ; sys_platform == 'win32' \\
    --hash=sha256:3
    # via
    #   project (pyproject.toml:dev)
    #   alpha
beta==3 ; sys_platform != 'win32' \\
    --hash=sha256:4
    # via
    #   project (pyproject.toml:dev)
    #   alpha
gamma==4 \\
    --hash=sha256:5
    # via
    #   alpha
    #   delta
delta==5 \\
    --hash=sha256:6
    # via gamma
"""


def test_lock_without_any_requirement_less_is_the_same() -> None:
    assert prune_lock(LOCK, set()) == LOCK


def test_lock_loses_what_nothing_needs_any_more() -> None:
    pruned = prune_lock(LOCK, {"alpha"})  # gamma and delta need each other only
    assert re.findall(r"^\w+==\d", pruned, re.M) == ["beta==2", "beta==3"]
    assert pruned.count("# via project (pyproject.toml:dev)\n") == 2
    assert re.findall(r"^\w+", prune_lock(LOCK, {"beta"}), re.M) == ["alpha", "beta", "beta", "gamma", "delta"]
    assert "    # via alpha\n" in prune_lock(LOCK, {"beta"})


def test_requirements() -> None:
    text = 'name = "x"\ndependencies = ["A_b[c]>=1,<2", "d !=3"]\nlint = ["e~=1"]\ninclude = ["f", "configs/**"]\n'
    assert requirements(text) == {"a-b", "d", "e"}


def test_spelling_is_one_pass() -> None:
    assert spell("a b a-b", {"a": "b", "b": "a", "a-b": "c"}) == "b a c"


def test_wide_imports_break_as_ruff_does() -> None:
    names = [f"name_number_{i}" for i in range(6)]
    line = f"    from {'package' * 3}.module import {', '.join(names)}\n"
    assert len(line) > 121
    broken = f"    from {'package' * 3}.module import (\n" + "".join(f"        {name},\n" for name in names) + "    )\n"
    assert wrap_imports(line) == broken
    assert wrap_imports(line[10:]) == line[10:]
