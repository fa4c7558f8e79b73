"""Facts of the deployment that are written once: its id, its keys' names, its suites."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from twinlock.errors import CallerError
from twinlock.store.database import Database
from twinlock.store.schema import meta
from twinlock.store.statements import inserted


@dataclass(frozen=True, slots=True)
class MetaStore:
    """Facts that are written once."""

    _database: Database

    def get(self, key: str) -> bytes | None:
        """Return the value under ``key``."""
        with self._database.read() as connection:
            return connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()

    def set_once(self, key: str, value: bytes) -> None:
        """Write a value that is never overwritten. Raises ``store.meta-exists``."""
        with self._database.write() as connection:
            if not inserted(connection, meta, key=key, value=value):
                raise CallerError(
                    "store.meta-exists",
                    f"The database holds a value for {key!r} already.",
                    hint="It is never replaced; use another database for another deployment.",
                )
