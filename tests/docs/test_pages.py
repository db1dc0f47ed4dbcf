"""The pages name commands, files and options that exist."""

import re

import pytest
from conftest import ROOT

PAGES = (
    "AGENTS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
)
CODE = r"`((?:\.ci|src|tests(?!/parity_pytorch)|docs|configs|benchmarks|hooks|arc_light_scaffold)/[\w/.-]*)(?:::\w+)?`"
NEW = {"configs/houses.yaml", "configs/metrics/f1.yaml", "configs/stripes.yaml"}  # files that recipes add
NEW |= {
    f"src/arc_light/{name}.py"
    for name in ("callbacks", "data/houses", "data/stripes", "models/linear", "models/regressor")
}


def read(page: str) -> str:
    """Read a page; releases before the latest name what existed then."""
    text = (ROOT / page).read_text()
    return text.split("### Removed")[0] if page == "CHANGELOG.md" else text


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    missing = [path for path in re.findall(CODE, read(page)) if not (ROOT / path).exists()]
    assert set(missing) <= NEW


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", read(page))
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_targets_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:^\$? ?|[`$] ?|    )make ([a-z][a-z-]*)", read(page), re.MULTILINE))
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


def test_agents_page_is_short() -> None:
    assert len((ROOT / "AGENTS.md").read_text().splitlines()) < 60


def test_the_version_is_the_latest_release() -> None:
    latest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert latest
    assert version
    assert latest[1] == version[1]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_of_the_machine_it_was_written_on(page: str) -> None:
    assert not re.search(r"/(?:home|root|work|tmp|Users)/", (ROOT / page).read_text())
