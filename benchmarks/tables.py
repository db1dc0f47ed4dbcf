"""Markdown tables with aligned columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field


def compared(ours: float, peer: float, form: str) -> tuple[str, str, str]:
    """Format both, and their ratio if the peer has a figure."""
    return f"{ours:{form}}", f"{peer:{form}}", f"{ours / peer:.2f}" if peer else ""


@dataclass
class Table:
    """A title, column names and rows of text; all cells but the first of a row are right-aligned.

    Args:
        title: what is measured, and in which unit.
        columns: their names.
        rows: their cells.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(cells)

    def __str__(self) -> str:
        """Return the table in Markdown."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        lines = [
            [cell.ljust(widths[0]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row)]
            for row in (self.columns, rule, *self.rows)
        ]
        return "\n".join([self.title, "", *(f"| {' | '.join(line)} |" for line in lines)])
