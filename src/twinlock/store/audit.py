"""The audit chain, and requests that are used once (SPEC, audit; SPEC, request and release).

Writers of the chain take turns: on SQLite by BEGIN IMMEDIATE, on PostgreSQL by the row lock on the
tail. So every line is built on the one before it, whatever number of processes write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, tuple_, update

from twinlock.errors import DataError, EnvError
from twinlock.store.database import Database
from twinlock.store.failures import conflict_means
from twinlock.store.paging import paged
from twinlock.store.schema import audit_heads, audit_lines, audit_tail, used_requests
from twinlock.store.values import AuditHead, AuditLine, AuditTail, StoredLine

BuildLine = Callable[[int, bytes], AuditLine]
"""Makes the line with this number on top of the 32-byte hash of the line before it. It runs while
other writers wait: no input or output, no writing to the store."""


# Every opening runs these, so they are built once.
_USE: Final = insert(used_requests)
_LINE: Final = insert(audit_lines)
_ADVANCE: Final = update(audit_tail).where(audit_tail.c.id == 1)
_TAIL: Final = select(audit_tail.c.next_seq, audit_tail.c.last_hash)
# SQLite has no row locks and renders nothing here: its write transaction is the lock.
_LOCKED_TAIL: Final = _TAIL.with_for_update()


@dataclass(frozen=True, slots=True)
class AuditStore:
    """The audit chain, and requests that are used once."""

    _database: Database

    def append_line(self, build_line: BuildLine) -> StoredLine:
        """Append a line to the chain; it is committed on return."""
        with self._database.write() as connection:
            return self._append(connection, build_line)

    def consume_request(
        self, request_id: bytes, not_after: int, build_line: BuildLine
    ) -> StoredLine:
        """Use a request (16-byte id) up and append its audit line, both or neither.

        Both are committed on return, so nothing may be opened before. Raises ``release.replayed``.
        """
        with self._database.write() as connection:
            with conflict_means(_replayed()):
                connection.execute(_USE, {"request_id": request_id, "not_after": not_after})
            return self._append(connection, build_line)

    def purge_requests(self, before: int) -> int:
        """Forget used requests that expired before this time; return how many.

        Whoever calls it must refuse expired requests by their time first.
        """
        with self._database.write() as connection:
            old = delete(used_requests).where(used_requests.c.not_after < before)
            return connection.execute(old).rowcount

    def tail(self) -> AuditTail:
        """Return where the chain goes on: (0, 32 zero bytes) before the first line."""
        with self._database.read() as connection:
            return self._tail(connection, lock=False)

    def lines(self, from_seq: int = 0, limit: int | None = None) -> Iterator[StoredLine]:
        """Yield lines from number ``from_seq`` on, in order, in constant memory."""

        def fetch(seq: int, size: int) -> list[StoredLine]:
            table = audit_lines.c
            query = select(table.seq, table.line, table.line_hash).where(table.seq >= seq)
            with self._database.read() as connection:
                rows = connection.execute(query.order_by(table.seq).limit(size))
                return [StoredLine(*row) for row in rows]

        return paged(fetch, from_seq, lambda line: line.seq + 1, limit)

    def add_head(self, seq: int, head_hash: bytes, time: int, signature: bytes) -> None:
        """Add the audit key's signature over the chain up to line ``seq``."""
        with self._database.write() as connection:
            connection.execute(
                insert(audit_heads).values(seq=seq, hash=head_hash, time=time, signature=signature)
            )

    def heads(self, from_seq: int = 0) -> Iterator[AuditHead]:
        """Yield signed heads of lines from ``from_seq`` on, by line, in constant memory."""
        table = audit_heads.c

        def fetch(after: tuple[int, int], size: int) -> list[tuple[int, AuditHead]]:
            columns = (table.position, table.seq, table.hash, table.time, table.signature)
            query = select(*columns).where(tuple_(table.seq, table.position) >= after)
            with self._database.read() as connection:
                rows = connection.execute(query.order_by(table.seq, table.position).limit(size))
                return [(row[0], AuditHead(*row[1:])) for row in rows]

        found = paged(fetch, (from_seq, 0), lambda item: (item[1].seq, item[0] + 1), None)
        return (head for _position, head in found)

    def _append(self, connection: Connection, build_line: BuildLine) -> StoredLine:
        seq, last_hash = self._tail(connection, lock=True)
        with self._database.callers_code():
            built = build_line(seq, last_hash)
        line = StoredLine(seq, built.line, built.line_hash)
        values = {"seq": seq, "line": line.line, "line_hash": line.line_hash}
        connection.execute(_LINE, values)
        connection.execute(_ADVANCE, {"next_seq": seq + 1, "last_hash": line.line_hash})
        return line

    def _tail(self, connection: Connection, *, lock: bool) -> AuditTail:
        row = connection.execute(_LOCKED_TAIL if lock else _TAIL).first()
        if row is None:
            raise EnvError(
                "store.damaged",
                f"The {self._database.place} has lost the tail of the audit chain.",
                hint="Stop writing to it, and restore a backup.",
            )
        return AuditTail(*row)


def _replayed() -> DataError:
    return DataError(
        "release.replayed",
        "This request was answered already.",
        hint="Ask for the records again; a release opens once.",
    )
