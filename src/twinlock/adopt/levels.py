"""How far a row and each of its columns came: legacy, rewrapped or native; as SQL.

Nothing is kept beside the rows: what a row's columns hold is its level.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    and_,
    case,
    func,
    literal,
    or_,
    select,
)

from twinlock.adopt.settings import ColumnSettings, Mode
from twinlock.adopt.stored import ADOPTED, NATIVE, OWN_DEK
from twinlock.adopt.tables import AppTable

LEVELS: Final = ("legacy", "rewrapped", "native")


@dataclass(frozen=True, slots=True)
class ColumnLevels:
    """How many rows have a column at which level; ``empty`` ones are NULL everywhere."""

    legacy: int
    rewrapped: int
    native: int
    empty: int


def begins(column: ColumnElement[Any], magic: bytes) -> ColumnElement[bool]:
    """Return that a column is not NULL and begins with these bytes."""
    start = func.substr(column, 1, len(magic), type_=LargeBinary)
    return and_(column.is_not(None), start == literal(magic, LargeBinary))


def is_adopted(table: AppTable) -> ColumnElement[bool]:
    """Return that a row has an adopted head."""
    return begins(table.target, ADOPTED)


def is_native_row(table: AppTable) -> ColumnElement[bool]:
    """Return that a row has a native head: its cells share a DEK."""
    return begins(table.target, NATIVE)


def has_own_dek(table: AppTable, column: ColumnSettings) -> ColumnElement[bool]:
    """Return that a column's native cell has a DEK of its own: it was written by itself."""
    return begins(table.sql.c[column.target], OWN_DEK)


def is_native(table: AppTable, column: ColumnSettings) -> ColumnElement[bool]:
    """Return that a column has a native cell."""
    condition: ColumnElement[bool] = table.sql.c[column.target].is_not(None)
    return condition


def only_old(table: AppTable, column: ColumnSettings) -> ColumnElement[bool]:
    """Return that a column has what the old application wrote, and no native cell."""
    return and_(table.sql.c[column.target].is_(None), table.old(column.content).is_not(None))


def is_legacy(table: AppTable, column: ColumnSettings) -> ColumnElement[bool]:
    """Return that a column can be read with the old key alone."""
    return and_(only_old(table, column), ~is_adopted(table))


def is_rewrapped(table: AppTable, column: ColumnSettings) -> ColumnElement[bool]:
    """Return that a column is read under the row's adopted head."""
    return and_(only_old(table, column), is_adopted(table))


def any_legacy(table: AppTable, names: Collection[str] = ()) -> ColumnElement[bool]:
    """Return that some column of a row is legacy; ``names``: one of these declared columns."""
    columns = [c for c in table.settings.columns if not names or c.name in names]
    return or_(*(is_legacy(table, column) for column in columns))


def candidate(table: AppTable, mode: Mode) -> ColumnElement[bool]:
    """Return that a row is something to do in this mode.

    Reseal takes rewrapped rows too: they become native.
    """
    if mode is Mode.REWRAP:
        return any_legacy(table)
    return or_(*(only_old(table, column) for column in table.settings.columns))


def any_adopted(table: AppTable) -> ColumnElement[bool]:
    """Return that a member's release opens something of a row."""
    return or_(is_adopted(table), *(is_native(table, column) for column in table.settings.columns))


def count_levels(connection: Connection, table: AppTable) -> Mapping[str, ColumnLevels]:
    """Count every column's levels in one pass over the table."""
    sums = []
    for column in table.settings.columns:
        for condition in (
            is_legacy(table, column),
            is_rewrapped(table, column),
            is_native(table, column),
        ):
            sums.append(func.coalesce(func.sum(case((condition, 1), else_=0)), 0))
    found = connection.execute(select(func.count(), *sums).select_from(table.sql)).one()
    total, counts = int(found[0]), [int(number) for number in found[1:]]
    levels = {}
    for at, column in enumerate(table.settings.columns):
        legacy, rewrapped, native = counts[3 * at : 3 * at + 3]
        empty = total - legacy - rewrapped - native
        levels[column.name] = ColumnLevels(legacy, rewrapped, native, empty)
    return levels
