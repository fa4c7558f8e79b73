"""Where the database is: its URL taken apart, and a name for it that holds no password."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from twinlock.errors import CallerError, EnvError

_HINT = "Use sqlite:///path/to/twinlock.db or postgresql://user@host/database."


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """A database. ``place`` is for messages; ``path`` is set exactly for an SQLite file."""

    url: URL
    place: str
    path: Path | None

    @property
    def is_postgresql(self) -> bool:
        return self.url.get_backend_name() == "postgresql"

    @property
    def is_memory(self) -> bool:
        return not self.is_postgresql and self.path is None

    def require_file(self) -> None:
        """Refuse a file that is not there, which SQLite would silently create."""
        if self.path is not None and not self.path.exists():
            raise EnvError(
                "store.missing",
                f"There is no {self.place}.",
                hint="Check the URL, or create the database with `twinlock init`.",
            )

    def create_file(self) -> None:
        """Create an empty file that its owner alone may read; leave an existing one as it is.

        SQLite gives its -wal and -shm files the same mode.
        """
        if self.path is None:
            return
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
        except OSError as error:
            raise EnvError(
                "store.unreachable",
                f"Cannot create the {self.place}: {error.strerror}.",
                hint="Check that the folder exists and that this user may write to it.",
                retryable=True,
            ) from error


def parse_address(text: str) -> Address:
    """Take a database URL apart.

    Raises ``store.url-invalid`` (never showing the text, which may hold a password) and
    ``store.url-unsupported`` for databases and options that were not tested.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Not chained: the parser's message may quote a part of the URL.
        raise CallerError("store.url-invalid", "This is no database URL.", hint=_HINT) from None
    if url.drivername in ("sqlite", "sqlite+pysqlite") and not url.query and not url.host:
        return _sqlite(url)
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgresql(url)
    raise CallerError(
        "store.url-unsupported",
        f"A database URL of this form is not supported: {url.drivername}.",
        hint=_HINT,
    )


def _sqlite(url: URL) -> Address:
    if url.database in (None, "", ":memory:"):
        return Address(url.set(database=None), "SQLite database in memory", None)
    path = Path(url.database)
    return Address(url, f"SQLite database {path}", path)


def _postgresql(url: URL) -> Address:
    host = url.host or url.query.get("host") or "the default host"
    port = f":{url.port}" if url.port else ""
    name = url.database or "(default)"
    place = f"PostgreSQL database {name} at {host}{port}"
    return Address(url.set(drivername="postgresql+psycopg"), place, None)
