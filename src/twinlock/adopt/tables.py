"""A declared table as it stands in the application's database: its columns, keys and pages."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    MetaData,
    RowMapping,
    Select,
    Table,
    func,
    inspect,
    null,
    select,
    tuple_,
)
from sqlalchemy.engine.reflection import Inspector

from twinlock.adopt.layout import LegacyLayout, layout_of
from twinlock.adopt.settings import TableSettings
from twinlock.adopt.templates import Row
from twinlock.errors import CallerError

PAGE: Final = 1000
Key = tuple[Any, ...]
"""The values of a row's key columns."""


@dataclass(frozen=True, slots=True)
class AppTable:
    """A table of the application. ``sql`` has those columns that adoption reads or writes.

    ``missing`` are target columns that are not there yet, ``gone`` old columns that are not there
    any more; in rows they are NULL.
    """

    settings: TableSettings
    layout: LegacyLayout
    sql: Table
    missing: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def name(self) -> str:
        """The declared name."""
        return self.settings.name

    @property
    def key_columns(self) -> list[Column[Any]]:
        """The columns of the key, in order."""
        return [self.sql.c[name] for name in self.settings.key]

    @property
    def target(self) -> Column[Any]:
        """The column that takes heads."""
        return self.sql.c[self.settings.target]

    def old(self, name: str) -> ColumnElement[Any]:
        """Return an old column, or NULL if it is gone."""
        return null() if name in self.gone else self.sql.c[name]

    def require_migrated(self) -> None:
        """Refuse a table without its target columns. Raises CallerError ``adopt.not-migrated``."""
        if self.missing:
            raise CallerError(
                "adopt.not-migrated",
                f"{self.settings.table} has no column {', '.join(self.missing)} yet.",
                hint="Add the columns: see `twinlock adopt migration`.",
            )

    def key_of(self, row: Row) -> Key:
        """Return a row's key."""
        return tuple(row[name] for name in self.settings.key)

    def after(self, key: Key | None) -> ColumnElement[bool] | None:
        """Return the condition for rows behind a key, or None for all."""
        if key is None:
            return None
        if len(key) == 1:
            condition: ColumnElement[bool] = self.key_columns[0] > key[0]
            return condition
        return tuple_(*self.key_columns) > tuple_(*key)

    def page(
        self,
        *where: ColumnElement[bool],
        after: Key | None,
        limit: int,
        columns: Sequence[str] = (),
    ) -> Select[Any]:
        """Return the query for the next rows behind ``after``, in the key's order."""
        chosen: list[ColumnElement[Any]] = [self.sql.c[name] for name in columns]
        if not columns:
            there = [column for column in self.sql.c if column.name not in self.missing]
            chosen = [*there, *(null().label(name) for name in (*self.missing, *self.gone))]
        behind = self.after(after)
        conditions = where if behind is None else (*where, behind)
        return select(*chosen).where(*conditions).order_by(*self.key_columns).limit(limit)

    def rows(
        self,
        connection: Connection,
        *where: ColumnElement[bool],
        columns: Sequence[str] = (),
        page: int = PAGE,
    ) -> Iterator[Row]:
        """Yield all rows in the key's order, a page at a time."""
        after: Key | None = None
        wanted = tuple(dict.fromkeys([*self.settings.key, *columns])) if columns else ()
        while True:
            query = self.page(*where, after=after, limit=page, columns=wanted)
            found = connection.execute(query).mappings().all()
            rows = [as_row(row) for row in found]
            yield from rows
            if len(rows) < page:
                return
            after = self.key_of(rows[-1])

    def of_keys(self, keys: Sequence[Key]) -> ColumnElement[bool]:
        """Return the condition for the rows with these keys."""
        if len(self.key_columns) == 1:
            condition: ColumnElement[bool] = self.key_columns[0].in_([key[0] for key in keys])
            return condition
        return tuple_(*self.key_columns).in_(keys)

    def count(self, connection: Connection, *where: ColumnElement[bool]) -> int:
        """Count rows."""
        query = select(func.count()).select_from(self.sql).where(*where)
        return int(connection.execute(query).scalar_one())


def with_column(connection: Connection, table: AppTable, name: str) -> AppTable:
    """Return the table with one more of its SQL columns. Raises ``adopt.no-sql-column``."""
    settings = table.settings
    found = inspect(connection).get_columns(settings.table, schema=settings.schema)
    types = {column["name"]: column["type"] for column in found}
    _require_columns(settings, [name], types)
    columns = [Column(c.name, c.type) for c in table.sql.c if c.name != name]
    sql = Table(
        settings.table, MetaData(), *columns, Column(name, types[name]), schema=settings.schema
    )
    return replace(table, sql=sql)


def as_row(found: RowMapping) -> Row:
    """Return what the database gave, by column name."""
    return {str(name): value for name, value in found.items()}


def shown_key(key: Key) -> str:
    """Return a key for people and reports: its parts, divided by ``/``."""
    return "/".join(_shown(part) for part in key)


def _shown(part: object) -> str:
    match part:
        case bytes() | memoryview():
            return bytes(part).hex()
        case uuid.UUID():
            return str(part)
        case _:
            return str(part)


def find_table(connection: Connection, settings: TableSettings) -> AppTable:
    """Look a declared table up in the database.

    Raises CallerError ``adopt.no-sql-table``, ``adopt.no-sql-column`` or ``adopt.key-not-unique``.
    """
    inspector = inspect(connection)
    if not inspector.has_table(settings.table, schema=settings.schema):
        raise CallerError(
            "adopt.no-sql-table",
            f"The database has no table {settings.table!r}.",
            hint="Correct table (and schema) in adopt.toml, or the database's URL.",
        )
    types = {
        column["name"]: column["type"]
        for column in inspector.get_columns(settings.table, schema=settings.schema)
    }
    missing = tuple(name for name in settings.targets if name not in types)
    # After the contraction the old columns are gone; before the migration that is a slip.
    gone = () if missing else tuple(name for name in settings.old if name not in types)
    read = [name for name in (*settings.bound, *settings.old) if name not in gone]
    _require_columns(settings, read, types)
    _require_unique_key(inspector, settings)
    wanted = types if settings.layout is not None else read
    binary: dict[str, Any] = dict.fromkeys(settings.targets, LargeBinary())
    columns = [
        Column(name, binary.get(name, types.get(name)))
        for name in dict.fromkeys([*wanted, *settings.targets])
    ]
    sql = Table(settings.table, MetaData(), *columns, schema=settings.schema)
    return AppTable(settings, layout_of(settings), sql, missing, gone)


def _require_columns(
    settings: TableSettings, names: Sequence[str], types: Mapping[str, Any]
) -> None:
    missing = [name for name in names if name not in types]
    if missing:
        raise CallerError(
            "adopt.no-sql-column",
            f"The table {settings.table!r} has no column {', '.join(dict.fromkeys(missing))}.",
            hint="Correct adopt.toml; the table has " + ", ".join(types) + ".",
        )


def _require_unique_key(inspector: Inspector, settings: TableSettings) -> None:
    """Pages go by the key, and a row is written by it: it must name one row."""
    table, schema = settings.table, settings.schema
    unique = [inspector.get_pk_constraint(table, schema=schema)["constrained_columns"]]
    unique += [c["column_names"] for c in inspector.get_unique_constraints(table, schema=schema)]
    unique += [
        [name for name in index["column_names"] if name is not None]
        for index in inspector.get_indexes(table, schema=schema)
        if index["unique"]
    ]
    if set(settings.key) not in [set(columns) for columns in unique]:
        raise CallerError(
            "adopt.key-not-unique",
            f"{', '.join(settings.key)} is neither the primary key of {table!r} nor unique.",
            hint="Name the primary key's columns with key in adopt.toml.",
        )
