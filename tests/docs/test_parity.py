"""docs/parity.md says what the sources say."""

import re
from pathlib import Path
from pydoc import locate

import pytest

import arc_light.loops

LOOPS = Path(arc_light.loops.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "parity.md"


def column(number: int) -> list[str]:
    """List the code in a column of the table, without the empty cells."""
    rows = [re.split(r"(?<!\\)\|", line) for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [cell.strip().strip("`").replace("\\|", "|") for row in rows[1:] if (cell := row[number + 1]).strip()]


def test_the_table_is_whole() -> None:
    assert len(column(0)) == len(column(1)) == len(column(3)) >= 20
    assert len(column(2)) >= 10


@pytest.mark.parametrize(("number", "file"), [(1, "handwritten.py"), (2, "manual.py")])
def test_each_line_is_in_its_file(number: int, file: str) -> None:
    lines = [line.split("  #")[0].strip() for line in (LOOPS / file).read_text().splitlines()]
    assert [code for code in column(number) if code not in lines] == []


def test_by_hand_the_lines_are_in_the_order_of_the_file() -> None:
    source = (LOOPS / "handwritten.py").read_text()
    places = [source.index(code) for code in column(1)]
    assert places == sorted(places)


def test_what_lightning_does_is_where_it_says() -> None:
    assert [name for name in column(3) if locate(name) is None] == []


@pytest.mark.parametrize("path", re.findall(r"`((?:src|tests|docs)/(?!parity_pytorch)[\w/.]+)`", PAGE.read_text()))
def test_its_files_are_there(path: str) -> None:
    assert (PAGE.parents[1] / path).exists()
