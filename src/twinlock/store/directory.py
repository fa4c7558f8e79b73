"""The token directory: signed statements about the token's keys, in the order they came."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from twinlock.store.database import Database
from twinlock.store.schema import statements
from twinlock.store.values import StoredStatement


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    """The signed statements of the token directory."""

    _database: Database

    def add_statement(self, kid: bytes, role: str, statement: bytes, signature: bytes) -> None:
        """Append a statement; the same key may be stated again."""
        with self._database.write() as connection:
            connection.execute(
                insert(statements).values(
                    kid=kid, role=role, statement=statement, signature=signature
                )
            )

    def replace_statements(self, kid: bytes, role: str, statement: bytes, signature: bytes) -> None:
        """Put one statement in the place of all that there are of a key."""
        with self._database.write() as connection:
            connection.execute(delete(statements).where(statements.c.kid == kid))
            connection.execute(
                insert(statements).values(
                    kid=kid, role=role, statement=statement, signature=signature
                )
            )

    def forget(self, kid: bytes) -> None:
        """Delete all statements of a key."""
        with self._database.write() as connection:
            connection.execute(delete(statements).where(statements.c.kid == kid))

    def statements(self) -> list[StoredStatement]:
        """Return all statements, oldest first."""
        table = statements.c
        query = select(table.kid, table.role, table.statement, table.signature)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.position))
            return [StoredStatement(*row) for row in rows]
