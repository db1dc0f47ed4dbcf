"""docs/techniques.md names lines and options that there are."""

import shlex

import pytest
from conftest import ROOT

from arc_light.__main__ import main

TABLE = (ROOT / "docs" / "techniques.md").read_text().split("## Measured")[0]
ROWS = [[cell.strip().strip("`") for cell in row.split(" | ")] for row in TABLE.splitlines() if row.startswith("| ")][
    2:
]


def test_each_line_is_where_it_says() -> None:
    assert len(ROWS) >= 20
    assert [row for row in ROWS if row[2] not in (ROOT / row[3]).read_text()] == []


def test_the_options_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    files = [ROOT / "configs" / f"{name}.yaml" for name in ("trainer", "tutorial_mnist_mlp")]
    given = [part for row in ROWS for part in shlex.split(row[1])]
    main(["show", *(f"-c={file}" for file in files), *given])
    assert capsys.readouterr().out.count("# command line") >= len({row[1].split()[0] for row in ROWS})
