"""One batch: rows are chosen, locked anew, and written, in one transaction.

On PostgreSQL the rows stay locked meanwhile, and what others have locked is passed over. SQLite
has one writer, so there nothing is held while the token works: a row that was written in between
is not touched, and is taken again in the next pass.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Protocol

from sqlalchemy import Connection

from twinlock.adopt.database import AppDatabase
from twinlock.adopt.jobs import Counts, Finding
from twinlock.adopt.levels import candidate
from twinlock.adopt.passes import Batch, Cursor
from twinlock.adopt.settings import Mode
from twinlock.adopt.tables import AppTable, Key, as_row, shown_key
from twinlock.adopt.templates import Row
from twinlock.adopt.writing import Change, RowWriter
from twinlock.errors import TwinlockError


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
        self._writer = RowWriter(table, database.is_postgresql)

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
        adopted = self._writer.write(connection, made)
        host = sum(change.host_dek for _, change in made) if adopted else 0
        return Batch(
            Counts(adopted, len(bad), host),
            [Finding(shown_key(key), error.code, error.message) for key, error in bad],
            [key for key, _ in bad],
        )
