"""INSERT with ON CONFLICT, which both databases have under the same words, but not in one class."""

from __future__ import annotations

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_or(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that takes ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def inserted(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row unless a unique value is taken; return whether it was inserted.

    On PostgreSQL a conflicting insert that is not committed yet is waited for.
    """
    statement = insert_or(connection, table).values(**values).on_conflict_do_nothing()
    # RETURNING and not rowcount, which SQLAlchemy keeps for UPDATE and DELETE alone.
    return connection.execute(statement.returning(*table.primary_key)).first() is not None


def replace(connection: Connection, table: Table, **values: object) -> None:
    """Insert a row, or overwrite the one with this primary key."""
    keys = [column.name for column in table.primary_key]
    statement = insert_or(connection, table).values(**values)
    new = {name: statement.excluded[name] for name in values if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new))
