"""The server's store: one object, an area per kind of data. Opaque bytes and numbers only."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from twinlock.store import migrate
from twinlock.store.address import parse_address
from twinlock.store.audit import AuditStore
from twinlock.store.counters import CounterStore
from twinlock.store.database import Database
from twinlock.store.directory import DirectoryStore
from twinlock.store.log import LogStore
from twinlock.store.members import MemberStore
from twinlock.store.meta import MetaStore
from twinlock.store.records import RecordStore
from twinlock.store.recoveries import RecoveryStore


class SqlStore:
    """What the server keeps in SQLite or PostgreSQL, for many threads and processes.

    Any method may raise EnvError: ``store.unreachable``, ``store.locked``, ``store.busy`` and
    ``store.full`` (retryable), ``store.read-only``, ``store.damaged``, ``store.failed``; and
    CallerError ``store.value-invalid`` for a value of the wrong type or length, and
    ``store.nested-write`` from inside a callback. Every method is one transaction, except the
    iterators, which read page by page. Times are Unix seconds, given by the caller.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.meta = MetaStore(database)
        self.directory = DirectoryStore(database)
        self.log = LogStore(database)
        self.members = MemberStore(database)
        self.audit = AuditStore(database)
        self.counters = CounterStore(database)
        self.records = RecordStore(database)
        self.recoveries = RecoveryStore(database)

    @classmethod
    def connect(cls, url: str, *, create: bool = False) -> Self:
        """Open ``sqlite:///file``, ``sqlite://`` (in memory) or ``postgresql://...``.

        With ``create`` the SQLite file (mode 0600) and the tables are made, or migrated to this
        release. Raises ``store.url-invalid``, ``store.url-unsupported``, ``store.driver-missing``,
        ``store.missing``, ``store.schema-old``, ``store.schema-newer`` and what any method raises.
        """
        address = parse_address(url)
        if create:
            address.create_file()
        else:
            address.require_file()
        database = Database(address)
        try:
            if create:
                migrate.upgrade(database)
            else:
                migrate.require_schema(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    @property
    def place(self) -> str:
        """The database for people, without a password."""
        return self._database.place

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SqlStore({self.place})"
