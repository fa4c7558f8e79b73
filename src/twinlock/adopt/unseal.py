"""The way out: a member's releases, page by page, and plaintext in a column of the application's.

What is done is told by the rows: a row whose target is not NULL is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, LargeBinary, String, or_, update

from twinlock.adopt.jobs import Finding
from twinlock.adopt.levels import is_legacy, is_native, is_rewrapped
from twinlock.adopt.settings import ColumnSettings
from twinlock.adopt.site import Site
from twinlock.adopt.stored import stored_items
from twinlock.adopt.tables import AppTable, Key, as_row, shown_key, with_column
from twinlock.adopt.templates import Row
from twinlock.adopt.verify import Release
from twinlock.errors import CallerError, DataError, TwinlockError

PAGE: Final = 200


@dataclass(slots=True)
class Unsealed:
    """What came of it. ``legacy``: rows that are legacy still, which no member's release opens."""

    rows: int = 0
    legacy: int = 0
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unsealing:
    """One column on its way out."""

    site: Site
    table: AppTable
    column: ColumnSettings
    into: str

    @classmethod
    def prepare(cls, site: Site, table: AppTable, column: ColumnSettings, into: str) -> Unsealing:
        """Look at the target.

        Raises CallerError ``adopt.unseal-target`` or ``adopt.no-sql-column``.
        """
        settings = table.settings
        if into in {*settings.targets, *settings.bound, *settings.old}:
            raise _no_target(into, "is used by the adoption itself")
        with site.database.read() as connection:
            wider = with_column(connection, table, into)
        if not isinstance(wider.sql.c[into].type, LargeBinary | String):
            raise _no_target(into, "takes neither text nor bytes")
        return cls(site, wider, column, into)

    def left(self) -> int:
        """Count the rows that are to do."""
        with self.site.database.read() as connection:
            return self.table.count(connection, *self._todo)

    def run(self, release: Release, on_rows: Callable[[int], None] = lambda _: None) -> Unsealed:
        """Open and write everything, a page at a time. Raises EnvError, and like a release."""
        result, after = Unsealed(), None
        while True:
            with self.site.database.read() as connection:
                query = self.table.page(*self._todo, after=after, limit=PAGE)
                rows = [as_row(row) for row in connection.execute(query).mappings()]
            if rows:
                self._page(rows, release, result)
                after = self.table.key_of(rows[-1])
            on_rows(len(rows))
            if len(rows) < PAGE:
                break
        with self.site.database.read() as connection:
            result.legacy = self.table.count(connection, is_legacy(self.table, self.column))
        return result

    @property
    def _todo(self) -> tuple[Any, Any]:
        opens = or_(is_native(self.table, self.column), is_rewrapped(self.table, self.column))
        return opens, self.table.sql.c[self.into].is_(None)

    def _page(self, rows: Sequence[Row], release: Release, result: Unsealed) -> None:
        asked = []
        for row in rows:
            try:
                asked += [(row, i) for i in stored_items(self.table, row, [self.column.name])]
            except DataError as error:
                result.findings.append(self._finding(row, error))
        opened = release([item for _, item in asked]) if asked else ()
        with self.site.database.write() as connection:
            for (row, _), record in zip(asked, opened, strict=True):
                try:
                    if isinstance(record, TwinlockError):
                        raise record
                    value = self._value(record.data(self.column.name).reveal())
                except TwinlockError as error:
                    result.findings.append(self._finding(row, error))
                else:
                    result.rows += self._write(connection, row, value)

    def _write(self, connection: Connection, row: Row, value: str | bytes) -> int:
        """Write a value, unless the row was written meanwhile: then the next run takes it."""
        names = (*self.table.settings.key, *self.table.settings.targets, self.into)
        same = [self.table.sql.c[name].is_not_distinct_from(row[name]) for name in names]
        statement = update(self.table.sql).where(*same).values({self.into: value})
        return connection.execute(statement).rowcount

    def _value(self, raw: bytes) -> str | bytes:
        if isinstance(self.table.sql.c[self.into].type, LargeBinary):
            return raw
        try:
            return raw.decode()
        except UnicodeDecodeError:
            text = None
        # Raised out here, because that error holds the plaintext and must not be chained to this.
        if text is None:
            raise DataError(
                "opened.not-text",
                "This value is authentic, but it is not UTF-8 text.",
                hint="Unseal the column into one of bytes.",
            )
        return text

    def _finding(self, row: Row, error: TwinlockError) -> Finding:
        key: Key = self.table.key_of(row)
        return Finding(shown_key(key), error.code, error.message)


def _no_target(name: str, why: str) -> CallerError:
    return CallerError(
        "adopt.unseal-target",
        f"The column {name} {why}.",
        hint="Add a column of text or bytes to the table, and name that.",
    )
