"""Fences, the lock and spelling, each on a text of its own."""

import re

import pytest

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.fences import strip_fences
from arc_light_scaffold.lock import prune_lock, requirements
from arc_light_scaffold.plan import spell

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
