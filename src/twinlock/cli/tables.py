"""Opened rows on their way to a person, a CSV file or a program; what failed stays visible."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from rich.text import Text

from twinlock.cli.failure import error_facts
from twinlock.cli.terminal import one_line, table
from twinlock.errors import TwinlockError


class Format(StrEnum):
    """How opened rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row to show: values by column, or an error; ``plain`` is what nothing vouches for.

    ``columns`` are those that were asked for, also where the row failed.
    """

    record: str
    version: int | None
    columns: tuple[str, ...]
    error: TwinlockError | None
    values: dict[str, bytes]
    plain: dict[str, str]


class RowWriter(Protocol):
    """Takes rows one after another; ``end`` writes what is left."""

    def row(self, row: ShownRow) -> None:
        """Take one row."""
        ...

    def end(self) -> None:
        """Write the rest."""
        ...


def explain(error: TwinlockError) -> str:
    """Return an error in few words, for a cell: bytes that are no record of ours are forged too."""
    forged = error.code.startswith(("data.", "format.", "suite."))
    return f"{'not authentic' if forged else error.message} [{error.code}]"


def text_of(value: bytes) -> str:
    """Return a value as text; what is no UTF-8 becomes 0x and hexadecimal digits."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}"


class CsvWriter:
    """CSV with a header. A row that failed has no values here; it is reported by itself."""

    def __init__(
        self, write: Callable[[str], None], key: str, columns: Sequence[str], plain: Sequence[str]
    ) -> None:
        self._write = write
        self._names = [key, *columns, *plain]
        self._columns, self._plain = columns, plain
        self._put(self._names)

    def row(self, row: ShownRow) -> None:
        """Write one row."""
        if row.error is None:
            sealed = [text_of(row.values[c]) for c in self._columns]
            self._put([row.record, *sealed, *(row.plain.get(c, "") for c in self._plain)])

    def end(self) -> None:
        """Nothing is left."""

    def _put(self, cells: Sequence[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._write(line.getvalue())


class JsonWriter:
    """A JSON array of records, written as they come."""

    def __init__(self, write: Callable[[str], None], *, with_plain: bool) -> None:
        self._write = write
        self._with_plain = with_plain
        self._count = 0

    def row(self, row: ShownRow) -> None:
        """Write one record."""
        self._write(",\n" if self._count else "[\n")
        self._write(json.dumps(record_facts(row, self._with_plain), ensure_ascii=False))
        self._count += 1

    def end(self) -> None:
        """Close the array."""
        self._write("\n]\n" if self._count else "[]\n")


class TableWriter:
    """A table for people; sealed columns stand first, unprotected ones are dimmed."""

    def __init__(
        self, show: Callable[[Any], None], key: str, columns: Sequence[str], plain: Sequence[str]
    ) -> None:
        self._show = show
        self._heads = [key, *columns, *plain]
        self._columns, self._plain = columns, plain
        self._rows: list[list[object]] = []

    def row(self, row: ShownRow) -> None:
        """Take one row."""
        if row.error is None:
            cells: list[object] = [text_of(row.values[c]) for c in self._columns]
        else:
            failed = Text(one_line(explain(row.error)), style="bold red")
            cells = [failed, *("" for _ in self._columns[1:])]
        plain = [Text(one_line(row.plain.get(c, "")), style="dim") for c in self._plain]
        self._rows.append([row.record, *cells, *plain])

    def end(self) -> None:
        """Show the table."""
        self._show(table(self._heads, self._rows) if self._rows else "No rows.")


def record_facts(row: ShownRow, with_plain: bool) -> dict[str, Any]:
    """Return a row for programs."""
    facts: dict[str, Any] = {"id": row.record, "version": row.version}
    if row.error is not None:
        facts["error"] = error_facts(row.error)
    else:
        facts["values"] = {c: text_of(value) for c, value in row.values.items()}
    if with_plain:
        facts["plain"] = row.plain
    return facts
