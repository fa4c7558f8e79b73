"""The SQL that adds what adoption needs to the application's tables, and later drops the old.

Everything is a list of statements for one database: to be executed, written as plain SQL, or as
an Alembic migration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, inspect

from twinlock.adopt import jobs
from twinlock.adopt.settings import TableSettings
from twinlock.adopt.tables import AppTable
from twinlock.adopt.triggers import create_trigger, drop_trigger, quoted, quoted_table

_BYTES: Final = {True: "BYTEA", False: "BLOB"}


def expand(connection: Connection, tables: Iterable[AppTable], *, postgresql: bool) -> list[str]:
    """Return what adds the target columns, the trigger and the record of runs.

    Columns that are there already are left out. On PostgreSQL old columns lose NOT NULL, so that
    the new application can write rows without them.
    """
    statements = jobs.create_statements(is_postgresql=postgresql)
    for table in tables:
        name = quoted_table(table.settings, postgresql=postgresql)
        for column in table.missing:
            kind = _BYTES[postgresql]
            column = quoted(column, postgresql=postgresql)
            statements.append(f"ALTER TABLE {name} ADD COLUMN {column} {kind}")
        if postgresql:
            for column in required_columns(connection, table.settings):
                column = quoted(column, postgresql=True)
                statements.append(f"ALTER TABLE {name} ALTER COLUMN {column} DROP NOT NULL")
        statements += create_trigger(table.settings, postgresql=postgresql)
    return statements


def collapse(tables: Iterable[AppTable], *, postgresql: bool) -> list[str]:
    """Return what takes ``expand`` back: the trigger, the new columns, the record of runs."""
    statements = []
    for table in tables:
        name = quoted_table(table.settings, postgresql=postgresql)
        statements += drop_trigger(table.settings, postgresql=postgresql)
        settings = table.settings
        for column in settings.targets:
            column = quoted(column, postgresql=postgresql)
            statements.append(f"ALTER TABLE {name} DROP COLUMN {column}")
    return [*statements, *jobs.drop_statements()]


def required_columns(connection: Connection, settings: TableSettings) -> list[str]:
    """Return the old columns that may not be NULL."""
    found = inspect(connection).get_columns(settings.table, schema=settings.schema)
    not_null = {column["name"] for column in found if not column["nullable"]}
    key = set(settings.key)
    return [name for name in settings.old if name in not_null and name not in key]


def drop_columns(settings: TableSettings, columns: Sequence[str], *, postgresql: bool) -> list[str]:
    """Return what drops the trigger and these columns."""
    name = quoted_table(settings, postgresql=postgresql)
    drops = [
        f"ALTER TABLE {name} DROP COLUMN {quoted(column, postgresql=postgresql)}"
        for column in columns
    ]
    return [*drop_trigger(settings, postgresql=postgresql), *drops]


def as_sql(statements: Iterable[str], *, title: str) -> str:
    """Return statements as a file for ``psql`` or ``sqlite3``, in one transaction."""
    body = "".join(f"{statement};\n" for statement in statements)
    return f"-- {title}\nBEGIN;\n{body}COMMIT;\n"


def as_alembic(
    up: Sequence[str], down: Sequence[str], *, revision: str, revises: str | None, title: str
) -> str:
    """Return statements as an Alembic migration. Without ``down`` it cannot be taken back."""
    return (
        f'"""{title}"""\n\n'
        "from alembic import op\n\n"
        f"revision = {revision!r}\n"
        f"down_revision = {revises!r}\n"
        "branch_labels = None\n"
        "depends_on = None\n\n\n"
        f"def upgrade() -> None:\n{_executing(up)}\n\n"
        f"def downgrade() -> None:\n{_executing(down)}"
    )


def _executing(statements: Sequence[str]) -> str:
    if not statements:
        return '    raise NotImplementedError("what was dropped is gone")\n'
    return "".join(f"    op.execute({_literal(statement)})\n" for statement in statements)


def _literal(statement: str) -> str:
    """A Python literal that shows the statement as it is, where it can."""
    if "\n" not in statement or '"""' in statement or "\\" in statement:
        return repr(statement)
    return f'"""\n{statement}\n"""'


def execute(connection: Connection, statements: Iterable[str]) -> None:
    """Execute statements as they are."""
    for statement in statements:
        connection.exec_driver_sql(statement)
