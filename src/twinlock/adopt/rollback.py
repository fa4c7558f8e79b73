"""Taking an adoption back before its cut-over: the new columns go back to NULL.

What the old application wrote was never touched, so nothing is lost. What exists in native form
only (rows that the new application added, columns that it wrote by themselves) stays, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, or_, tuple_, update

from twinlock.adopt.database import AppDatabase
from twinlock.adopt.levels import has_own_dek, is_adopted, is_native, is_native_row
from twinlock.adopt.tables import AppTable, Key, shown_key

BATCH: Final = 1000
SHOWN: Final = 1000
"""Most rows that are named."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What became of a table: rows taken back, and the keys of rows that hold native values."""

    table: str
    rows: int
    kept: Sequence[str]


def rollback_table(
    database: AppDatabase, table: AppTable, on_rows: Callable[[int], None] = lambda _: None
) -> RolledBack:
    """Take one table back, in batches of its own transactions. Safe to repeat."""
    after: Key | None = None
    total = 0
    while True:
        with database.write() as connection:
            query = table.page(after=after, limit=BATCH, columns=table.settings.key)
            keys = [tuple(row) for row in connection.execute(query)]
            if keys:
                rows = _between(table, after, keys[-1])
                total += connection.execute(_clear_adopted(table, rows)).rowcount
                total += connection.execute(_clear_native(table, rows)).rowcount
                after = keys[-1]
        on_rows(len(keys))
        if len(keys) < BATCH:
            return RolledBack(table.name, total, _kept(database, table))


def _between(table: AppTable, after: Key | None, last: Key) -> ColumnElement[bool]:
    behind = table.after(after)
    columns = table.key_columns
    upto: ColumnElement[bool] = (
        columns[0] <= last[0] if len(columns) == 1 else tuple_(*columns) <= tuple_(*last)
    )
    return upto if behind is None else and_(behind, upto)


def _clear_adopted(table: AppTable, rows: ColumnElement[bool]) -> Any:
    return update(table.sql).where(rows, is_adopted(table)).values({table.target: None})


def _clear_native(table: AppTable, rows: ColumnElement[bool]) -> Any:
    """Only where the old columns have everything that the shared DEK's cells say."""
    columns = table.settings.columns
    only_native = or_(
        *(
            and_(is_native(table, c), ~has_own_dek(table, c), table.old(c.content).is_(None))
            for c in columns
        )
    )
    values: dict[Any, Any] = {
        table.sql.c[c.target]: case((has_own_dek(table, c), table.sql.c[c.target]), else_=None)
        for c in columns
    }
    return (
        update(table.sql)
        .where(rows, is_native_row(table), ~only_native)
        .values({table.target: None, **values})
    )


def _kept(database: AppDatabase, table: AppTable) -> list[str]:
    native = or_(*(is_native(table, column) for column in table.settings.columns))
    query = table.page(native, after=None, limit=SHOWN, columns=table.settings.key)
    with database.read() as connection:
        return [shown_key(tuple(row)) for row in connection.execute(query)]
