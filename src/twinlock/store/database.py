"""One engine and two kinds of transactions: reading (one snapshot) and writing.

SQLite writes under BEGIN IMMEDIATE, so that a transaction which reads first never fails halfway for
want of the write lock. PostgreSQL reads under REPEATABLE READ and writes under READ COMMITTED.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, Pool, StaticPool, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from twinlock.errors import CallerError, EnvError
from twinlock.store.address import Address
from twinlock.store.failures import translate

WAIT_SECONDS = 5
"""How long anything waits: for a lock, for the server, for a free connection."""

_POOL: dict[str, Any] = {"pool_size": 10, "max_overflow": 10, "pool_timeout": WAIT_SECONDS}
_WRITES = "twinlock_writes"


class Database:
    """Transactions on one database, for many threads; connections are made when needed."""

    def __init__(self, address: Address) -> None:
        self.place = address.place
        self.is_postgresql = address.is_postgresql
        self._shared = address.is_memory
        self._lock: AbstractContextManager[Any] = (
            threading.RLock() if self._shared else nullcontext()
        )
        self._local = threading.local()
        self._inherited: list[Pool] = []
        self._engine = _postgresql(address) if self.is_postgresql else _sqlite(address)
        self._writer = self._engine.execution_options(**{_WRITES: True})
        self._reader = (
            self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            if self.is_postgresql
            else self._engine
        )
        _open_databases.add(self)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read in one snapshot."""
        outer = self._open_connection()
        if self._shared and outer is not None:
            yield outer
            return
        with self._translated(), self._lock, self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Write, all or nothing: commits when the block ends, rolls back when it raises."""
        if self._open_connection() is not None:
            raise CallerError(
                "store.nested-write",
                "The store was asked to write by code that it called while it was writing.",
                hint="Write before or after: this would wait for its own lock.",
            )
        with self._translated(), self._lock, self._writer.begin() as connection:
            self._local.connection = connection
            try:
                yield connection
            finally:
                self._local.connection = None

    @contextmanager
    def callers_code(self) -> Iterator[None]:
        """Mark code of the caller inside a transaction: what it raises is not translated."""
        try:
            yield
        except Exception as error:
            self._local.foreign = error
            raise

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()

    def _open_connection(self) -> Connection | None:
        return getattr(self._local, "connection", None)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if error is getattr(self._local, "foreign", None):
                raise
            raise translate(error, self.place) from error
        finally:
            self._local.foreign = None

    def forget_connections_of_parent(self) -> None:
        """After a fork, leave the parent's connections alone and make new ones."""
        if not self._shared:
            # Kept, and so never closed here: https://www.sqlite.org/howtocorrupt.html, section 2.6.
            self._inherited.append(self._engine.pool)
            self._engine.dispose(close=False)


_open_databases: WeakSet[Database] = WeakSet()


def _after_fork() -> None:
    for database in list(_open_databases):
        database.forget_connections_of_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _sqlite(address: Address) -> Engine:
    options: dict[str, Any] = {"connect_args": {"timeout": WAIT_SECONDS}, **_POOL}
    if address.is_memory:
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    engine = create_engine(address.url, hide_parameters=True, **options)

    @event.listens_for(engine, "connect")
    def configure(dbapi_connection: Any, _record: object) -> None:
        # None: the driver starts no transactions of its own, `begin` below does.
        dbapi_connection.isolation_level = None
        dbapi_connection.execute("PRAGMA foreign_keys = ON")
        dbapi_connection.execute("PRAGMA journal_mode = WAL")
        dbapi_connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(address: Address) -> Engine:
    arguments = {} if "connect_timeout" in address.url.query else {"connect_timeout": WAIT_SECONDS}
    try:
        engine = create_engine(
            address.url,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            connect_args=arguments,
            **_POOL,
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
        # A release's request id must be on disk before the release is opened. Stronger settings
        # (remote_apply) stay.
        dbapi_connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
        dbapi_connection.commit()

    return engine
