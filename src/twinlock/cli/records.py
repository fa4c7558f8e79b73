"""Which records of the store a command is about, and how one becomes part of a request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twinlock.cli.csv_source import column_names, nfc
from twinlock.core.context import Context, record_bytes
from twinlock.errors import CallerError, DataError

if TYPE_CHECKING:
    from twinlock.server.records import SealedRow as RowToOpen
    from twinlock.store.sql import SqlStore
    from twinlock.store.values import SealedRow

PAGE: Final = 1000
"""DEKs in one request (SPEC, request)."""
_PANEL: Final = "Which records"

TableOption = Annotated[
    str | None,
    typer.Option("--table", metavar="T", help="A table of the store.", rich_help_panel=_PANEL),
]
IdsOption = Annotated[
    str | None,
    typer.Option("--ids", metavar="1,2,3", help="These rows.", rich_help_panel=_PANEL),
]
AllOption = Annotated[bool, typer.Option("--all", help="All rows.", rich_help_panel=_PANEL)]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="The first N rows.", rich_help_panel=_PANEL),
]
AfterOption = Annotated[
    str | None,
    typer.Option("--after", metavar="ID", help="Go on behind this row.", rich_help_panel=_PANEL),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns", metavar="A,B", help="Default: all sealed ones.", rich_help_panel=_PANEL
    ),
]


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of one table; ``columns`` None for all of the first row's sealed columns."""

    table: str
    ids: tuple[str, ...] | None = None
    limit: int | None = None
    after: str | None = None
    columns: tuple[str, ...] | None = None

    def rows(self, store: SqlStore) -> Iterator[SealedRow]:
        """Yield the rows in their order, in constant memory.

        Raises CallerError ``records.no-table`` or ``records.unknown-ids``.
        """
        if self.table not in store.records.tables():
            raise CallerError(
                "records.no-table",
                f"The store has no table {self.table!r}.",
                hint=f"It has: {', '.join(store.records.tables()) or 'none yet'}.",
            )
        after = None if self.after is None else record_bytes(self.after)
        if self.ids is None:
            return store.records.rows(self.table, limit=self.limit, after=after)
        return self._chosen(store, self.ids)

    def _chosen(self, store: SqlStore, ids: Sequence[str]) -> Iterator[SealedRow]:
        wanted = [record_bytes(record) for record in ids]
        found = {row.record_id: row for row in store.records.rows(self.table, record_ids=wanted)}
        missing = [record for record in ids if record_bytes(record) not in found]
        if missing:
            raise CallerError(
                "records.unknown-ids",
                f"Table {self.table!r} has no row {', '.join(missing[:10])}.",
                hint="Ids are compared as text, letter by letter.",
            )
        return (found[record] for record in wanted)


def select(
    table: str | None,
    ids: str | None,
    all_rows: bool,
    limit: int | None,
    after: str | None,
    columns: str | None,
) -> Selection:
    """Return the selection that the options name. Raises ``records.selection``."""
    if table is None or sum([ids is not None, all_rows, limit is not None]) != 1:
        raise CallerError(
            "records.selection",
            "It is not clear which records are meant.",
            hint="Name --table T, and one of --ids 1,2,3, --limit N, --all.",
        )
    chosen = None
    if ids is not None:
        parts = (nfc(part.strip()) for part in ids.split(","))
        chosen = tuple(dict.fromkeys(part for part in parts if part))
        if not chosen:
            raise CallerError("records.selection", "No id was named.", hint="Use --ids 1,2,3.")
    return Selection(
        nfc(table),
        chosen,
        limit,
        None if after is None else nfc(after),
        None if columns is None else column_names(columns),
    )


def columns_of(selection: Selection, first: SealedRow | None) -> tuple[str, ...]:
    """Return the columns to open: those that were named, else the first row's sealed ones."""
    if selection.columns is not None or first is None:
        return selection.columns or ()
    order = [column for column in plain_of(first) if column in first.cells]
    return tuple(dict.fromkeys([*order, *first.cells]))


def asked(
    table: str, row: SealedRow, columns: Sequence[str]
) -> tuple[Context, RowToOpen] | DataError:
    """Return the context and the cells of a row, or why it cannot be asked for.

    The context is computed from what was asked for; the row says its version only.
    """
    from twinlock.server.records import SealedRow as RowToOpen

    missing = [column for column in columns if column not in row.cells]
    if missing:
        return DataError(
            "records.column-missing",
            f"This row has no sealed column {missing[0]!r}.",
            hint="It was sealed with other columns, or a cell was taken out of the database.",
        )
    context = Context(table=table, record=row.record_id, version=row.version)
    return context, RowToOpen(row.head, {column: row.cells[column] for column in columns})


def plain_of(row: SealedRow) -> Mapping[str, str | None]:
    """Return a row's columns that are not sealed; nothing vouches for them.

    Whoever can write the database can write here, so anything unexpected is left out.
    """
    try:
        found = json.loads(row.plain or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str) or v is None}


def unprotected(row: SealedRow, columns: Sequence[str]) -> dict[str, str]:
    """Return what ``plain_of`` says, without what could pass for one of the opened columns."""
    return {c: v for c, v in plain_of(row).items() if v is not None and c not in columns}


def record_name(raw: bytes) -> str:
    """Return a record id as people write it: text, else hexadecimal."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.hex()
