"""One batch: rows are chosen, locked anew, and written, in one transaction.

On PostgreSQL the rows stay locked meanwhile, and what others have locked is passed over. SQLite
has one writer, so there nothing is held while the token works: a row that was written in between
is not touched, and is taken again in the next pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, Update, bindparam, update

from twinlock.adopt.database import AppDatabase
from twinlock.adopt.jobs import Counts, Finding
from twinlock.adopt.levels import candidate
from twinlock.adopt.passes import Batch, Cursor
from twinlock.adopt.settings import Mode
from twinlock.adopt.tables import AppTable, Key, as_row, shown_key
from twinlock.adopt.templates import Row
from twinlock.errors import TwinlockError

_KEY: Final = "key_"
_WAS: Final = "was_"
_NEW: Final = "new_"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written into a row: SQL column to value."""

    values: Mapping[str, bytes]
    host_dek: bool = False


class Locksmith(Protocol):
    """Gives rows their new locks."""

    def changes(self, rows: Sequence[Row]) -> Sequence[Change | TwinlockError]:
        """Return, per row in order, what to write, or why it has to be left alone."""
        ...


class BatchAdopter:
    """Adopts one table's rows in one mode."""

    def __init__(
        self, database: AppDatabase, table: AppTable, mode: Mode, locksmith: Locksmith
    ) -> None:
        self._database = database
        self._table = table
        self._todo = candidate(table, mode)
        self._locksmith = locksmith

    def adopt(self, cursor: Cursor, limit: int, known_bad: Set[Key]) -> Batch:
        """Take at most ``limit`` rows and adopt them; see ``passes.Adopter``."""
        if not self._database.is_postgresql:
            with self._database.read() as connection:
                rows = self._chosen(connection, cursor, limit)
            work = self._work(rows, known_bad)
            with self._database.write() as connection:
                return self._written(connection, work)
        with self._database.write() as connection:
            rows = self._chosen(connection, cursor, limit)
            return self._written(connection, self._work(rows, known_bad))

    def left(self) -> int:
        """Count the rows that are still to do."""
        with self._database.read() as connection:
            return self._table.count(connection, self._todo)

    def _chosen(self, connection: Connection, cursor: Cursor, limit: int) -> Sequence[Row]:
        def choose(after: Key | None) -> Sequence[Row]:
            query = self._table.page(self._todo, after=after, limit=limit)
            if self._database.is_postgresql:
                # FOR NO KEY UPDATE: rows that refer to these stay free.
                query = query.with_for_update(skip_locked=True, key_share=True)
            return [as_row(row) for row in connection.execute(query).mappings()]

        return cursor.take(choose, self._table.key_of, limit)

    def _work(
        self, rows: Sequence[Row], known_bad: Set[Key]
    ) -> list[tuple[Row, Change | TwinlockError]]:
        fresh = [row for row in rows if self._table.key_of(row) not in known_bad]
        changes = self._locksmith.changes(fresh) if fresh else ()
        return list(zip(fresh, changes, strict=True))

    def _written(
        self, connection: Connection, work: Sequence[tuple[Row, Change | TwinlockError]]
    ) -> Batch:
        made = [(row, change) for row, change in work if isinstance(change, Change)]
        bad = [(self._table.key_of(row), e) for row, e in work if isinstance(e, TwinlockError)]
        adopted = 0
        for columns in {tuple(change.values) for _, change in made}:
            same = [(row, change) for row, change in made if tuple(change.values) == columns]
            parameters = [self._parameters(row, change) for row, change in same]
            adopted += connection.execute(self._update(columns), parameters).rowcount
        host = sum(change.host_dek for _, change in made) if adopted else 0
        return Batch(
            Counts(adopted, len(bad), host),
            [Finding(shown_key(key), error.code, error.message) for key, error in bad],
            [key for key, _ in bad],
        )

    def _update(self, columns: Sequence[str]) -> Update:
        """Write a row only if it is still as it was when it was chosen."""
        table = self._table
        same: list[ColumnElement[bool]] = [
            column == bindparam(_KEY + column.name, type_=column.type)
            for column in table.key_columns
        ]
        for column in (table.sql.c[name] for name in self._compared()):
            was: ColumnElement[Any] = bindparam(_WAS + column.name, type_=column.type)
            same.append(column.is_not_distinct_from(was))
        values: dict[str, Any] = {name: bindparam(_NEW + name) for name in columns}
        return update(table.sql).where(*same).values(values)

    def _compared(self) -> Sequence[str]:
        """Under PostgreSQL's row lock nobody else wrote; what is compared there is our own."""
        settings = self._table.settings
        if self._database.is_postgresql:
            return settings.targets
        return list(dict.fromkeys([*settings.targets, *settings.old, *settings.bound]))

    def _parameters(self, row: Row, change: Change) -> dict[str, Any]:
        keys = {_KEY + name: row[name] for name in self._table.settings.key}
        was = {_WAS + name: row[name] for name in self._compared()}
        return {**keys, **was, **{_NEW + name: value for name, value in change.values.items()}}
