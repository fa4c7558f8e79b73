"""The application's own database: transactions on it, and its tables as they are now.

It belongs to the application: nothing here changes its settings (SQLite's journal mode, say), and
no lock is waited for long.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from twinlock.errors import EnvError
from twinlock.store.address import Address, parse_address
from twinlock.store.failures import translate

WAIT_SECONDS: Final = 5
"""How long a lock, the server, or a free connection is waited for."""

DIALECTS: Final[Mapping[bool, Dialect]] = {True: postgresql.dialect(), False: sqlite.dialect()}  # type: ignore[no-untyped-call]
"""To write SQL: for PostgreSQL (True) and SQLite."""

_WRITES: Final = "adopt_writes"


class AppDatabase:
    """Transactions on the application's database, for several threads."""

    def __init__(self, address: Address, *, connections: int = 4) -> None:
        self.place = address.place
        self.is_postgresql = address.is_postgresql
        self._engine = _engine(address, connections)
        self._writer = self._engine.execution_options(**{_WRITES: True})
        # SQLite has one writer; those of this process take turns here instead of timing out.
        self._turn = threading.Lock()

    @classmethod
    def connect(cls, url: str, *, connections: int = 4) -> AppDatabase:
        """Connect to an existing database. Raises ``store.*``."""
        address = parse_address(url)
        address.require_file()
        return cls(address, connections=connections)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read. Raises EnvError ``store.*``."""
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Write, all or nothing. Raises EnvError ``store.*``."""
        if self.is_postgresql:
            with self._translated(), self._writer.begin() as connection:
                yield connection
            return
        with self._turn, self._translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> AppDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise translate(error, self.place) from error


def _engine(address: Address, connections: int) -> Engine:
    pool: dict[str, Any] = {"pool_size": connections, "pool_timeout": WAIT_SECONDS}
    if address.is_postgresql:
        return _postgresql(address, pool)
    engine = create_engine(
        address.url, hide_parameters=True, connect_args={"timeout": WAIT_SECONDS}, **pool
    )

    @event.listens_for(engine, "connect")
    def configure(dbapi_connection: Any, _record: object) -> None:
        # None: the driver begins no transactions of its own, `begin` below does.
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(address: Address, pool: dict[str, Any]) -> Engine:
    try:
        engine = create_engine(
            address.url,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            connect_args={} if "connect_timeout" in address.url.query else _TIMEOUT,
            **pool,
        )
    except ModuleNotFoundError as error:
        raise EnvError(
            "store.driver-missing",
            "The PostgreSQL driver is not installed.",
            hint="Install it with `pip install 'twinlock[postgresql]'`.",
        ) from error

    @event.listens_for(engine, "connect")
    def configure(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        dbapi_connection.commit()

    return engine


_TIMEOUT: Final = {"connect_timeout": WAIT_SECONDS}
