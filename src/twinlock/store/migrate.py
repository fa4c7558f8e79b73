"""Whether a database has the schema of this release, and how it gets there.

Alembic is imported only when there is something to migrate: it takes longer than opening SQLite.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table, text

from twinlock.errors import EnvError
from twinlock.store.database import Database
from twinlock.store.schema import SCHEMA_REVISION, VERSION_TABLE

_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = int.from_bytes(b"twinlock")


def require_schema(database: Database) -> None:
    """Refuse a database of another release.

    Raises ``store.schema-old`` (also for a database without our tables), ``store.schema-newer``.
    """
    with database.read() as connection:
        found = _revision(connection)
    if found == SCHEMA_REVISION:
        return
    _refuse_newer(found, database.place)
    raise EnvError(
        "store.schema-old",
        f"The {database.place} has the schema of an older release"
        f" ({found or 'none'}, this release needs {SCHEMA_REVISION}).",
        hint="Make a backup, then run `twinlock init --migrate`.",
    )


def upgrade(database: Database) -> None:
    """Bring the database to this release's schema in one transaction; do nothing if it has it.

    Raises ``store.schema-newer``.
    """
    with database.write() as connection:
        if database.is_postgresql:
            # Of several processes that start together one migrates, the others wait for it.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        found = _revision(connection)
        if found != SCHEMA_REVISION:
            _refuse_newer(found, database.place)
            _run_alembic(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = table(VERSION_TABLE, column("version_num"))
    return connection.execute(select(version.c.version_num)).scalars().first()


def _refuse_newer(found: str | None, place: str) -> None:
    if found is None:
        return
    from alembic.script import ScriptDirectory

    known = {step.revision for step in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if found not in known:
        raise EnvError(
            "store.schema-newer",
            f"The {place} has a schema that this release does not know ({found}).",
            hint="Install the release of Twinlock that made it, or a newer one.",
        )


def _run_alembic(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, SCHEMA_REVISION)
