"""Tables that are written row by row, and are there whole or not at all: CSV, JSON lines or Parquet."""

import csv
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from lamphouse.errors import InputError
from lamphouse.files import written_whole

ROWS_AT_ONCE = 4096  # in memory; of a Parquet file's row groups
Rows = Sequence[Mapping[str, Any]]
Format = Generator[None, Rows, None]  # writes the rows that are sent to it


def check_suffix(path: Path) -> None:
    """Raise an `InputError` unless a table can be written in the format that the suffix names."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: no table is called so: give a file that ends in {', '.join(FORMATS)}")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise InputError(f"{path}: Parquet needs pyarrow: install it with `make extra EXTRA=parquet`")


@contextmanager
def written_table(path: Path) -> Iterator[Callable[[Rows], None]]:
    """Write a table with the columns of its first row, in the format of its suffix."""
    pending: list[Mapping[str, Any]] = []

    def write(rows: Rows) -> None:
        pending.extend(rows)
        if len(pending) >= ROWS_AT_ONCE:
            flush()

    def flush() -> None:
        table.send(pending)
        pending.clear()

    with written_whole(path) as file, closing(FORMATS[path.suffix.lower()](file)) as table:
        next(table)
        yield write
        if pending:
            flush()


def _csv(file: BinaryIO) -> Format:
    columns: Sequence[str] = ()
    while True:
        rows, text = (yield), StringIO()
        table = csv.DictWriter(text, columns or [*rows[0]], lineterminator="\n")
        if not columns:
            columns = [*rows[0]]
            table.writeheader()
        table.writerows(rows)
        file.write(text.getvalue().encode())


def _json_lines(file: BinaryIO) -> Format:
    while True:
        file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in (yield))


def _parquet(file: BinaryIO) -> Format:
    import pyarrow  # noqa: PLC0415  # an extra
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415

    table = pyarrow.Table.from_pylist((yield))
    with ParquetWriter(file, table.schema) as writer:
        while True:
            writer.write_table(table)
            table = pyarrow.Table.from_pylist((yield), table.schema)


FORMATS = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
