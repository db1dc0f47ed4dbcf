"""CSV files that grow by one row at a time, each written whole or not at all."""

import csv
import errno
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamphouse.errors import InputError
from lamphouse.files import write_whole

Row = dict[str, Any]


class CsvFile:
    """Appends rows to a file, which is written anew for the first of a process, and for a row with a new column.

    Args:
        path: the file; symbolic links are replaced, not followed.
        first: columns, if there are any such, in the order in which they precede all others.
        durable: have each row outlive a crash of the machine, too, which takes milliseconds.
    """

    def __init__(self, path: Path, first: Sequence[str], durable: bool = True) -> None:
        self.path, self.first, self.durable = path, first, durable
        self.columns: list[str] = []  # of the file, once this process has written it

    def add(self, row: Mapping[str, Any], rows: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Append a row; `rows` returns all that belong into the file, for where it has to be written anew."""
        if self.columns and row.keys() <= set(self.columns):
            try:
                return append_whole(self.path, self._text([row]), self.durable)
            except FileNotFoundError:
                pass
        return self.write(rows())

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the whole file."""
        rows = list(rows)
        names = dict.fromkeys(name for row in rows for name in row)
        self.columns = sorted(names, key=lambda name: [*self.first, name].index(name))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, self._text([dict(zip(self.columns, self.columns, strict=True)), *rows]))

    def read(self) -> list[Row]:
        """Read the rows, without a last one that was cut off.

        Raises:
            InputError: it is not a table that a run wrote.
        """
        if not os.path.lexists(self.path):
            return []
        if not self.path.is_file():  # but a pipe, which could make the reader wait forever
            raise InputError(f"{self.path}: not a file: remove it")
        try:
            whole = self.path.read_text(encoding="utf-8").rpartition("\n")[0]
            return [_parsed(row) for row in csv.DictReader(whole.splitlines(), strict=True)]
        except (csv.Error, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path}: damaged: put the run's own table back, or delete it") from error

    def _text(self, rows: Iterable[Mapping[str, Any]]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerows(rows)
        return text.getvalue()


def append_whole(path: Path, text: str, durable: bool = True) -> None:
    """Append to a file, by one write that is undone if the disk is full."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW), "ab", buffering=0) as file:
        size, data = os.fstat(file.fileno()).st_size, text.encode()
        written = 0
        try:
            written = file.write(data)
            if durable:
                os.fsync(file.fileno())
        finally:
            if written < len(data):
                file.truncate(size)
    if written < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _parsed(row: Row) -> Row:
    numbers = {name: float(cell) for name, cell in row.items() if cell}
    return {**numbers, **{name: int(row[name]) for name in ("epoch", "step") if name in row}}
