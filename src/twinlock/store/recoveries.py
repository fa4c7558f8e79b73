"""Messages between a new device and the contacts of a member: each is written once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from twinlock.errors import CallerError
from twinlock.store.database import Database
from twinlock.store.schema import recoveries
from twinlock.store.statements import inserted


@dataclass(frozen=True, slots=True)
class RecoveryMessage:
    """One message of a recovery. ``contact_id``: whom it is for, or from; ``step``: which one."""

    contact_id: bytes
    step: str
    message: bytes


@dataclass(frozen=True, slots=True)
class RecoveryStore:
    """The messages of recoveries, by the 32-byte digest of each."""

    _database: Database

    def begin(
        self,
        digest: bytes,
        member_id: bytes,
        messages: Iterable[RecoveryMessage],
        *,
        now: int,
        limit: int,
    ) -> None:
        """Begin a recovery with its first messages; again is allowed, if they are the same.

        At most ``limit`` of one member are open at a time. Raises CallerError
        ``recovery.too-many`` or ``recovery.message-exists``.
        """
        with self._database.write() as connection:
            others = select(func.count(recoveries.c.digest.distinct())).where(
                recoveries.c.member_id == member_id, recoveries.c.digest != digest
            )
            if (connection.execute(others).scalar() or 0) >= limit:
                raise CallerError(
                    "recovery.too-many",
                    f"This member has {limit} recoveries under way already.",
                    hint="Go on with one of them, or pass the messages as files.",
                )
            for message in messages:
                _put(connection, digest, member_id, message, now)

    def put(self, digest: bytes, member_id: bytes, message: RecoveryMessage, *, now: int) -> None:
        """Add a message; again is allowed, if it is the same.

        Raises CallerError ``recovery.message-exists``.
        """
        with self._database.write() as connection:
            _put(connection, digest, member_id, message, now)

    def messages(self, digest: bytes) -> list[RecoveryMessage]:
        """Return a recovery's messages, by contact and step."""
        table = recoveries.c
        query = select(table.contact_id, table.step, table.message).where(table.digest == digest)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.contact_id, table.step))
            return [RecoveryMessage(*row) for row in rows]

    def for_contact(self, contact_id: bytes, step: str) -> list[bytes]:
        """Return the messages of one step for a contact, oldest first."""
        table = recoveries.c
        query = select(table.message).where(table.contact_id == contact_id, table.step == step)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(table.made, table.digest)).scalars())

    def forget_before(self, time: int) -> None:
        """Delete the recoveries that were begun before a time."""
        begun = (
            select(recoveries.c.digest)
            .group_by(recoveries.c.digest)
            .having(func.min(recoveries.c.made) < time)
        )
        with self._database.write() as connection:
            connection.execute(delete(recoveries).where(recoveries.c.digest.in_(begun)))


def _put(
    connection: Connection, digest: bytes, member_id: bytes, message: RecoveryMessage, now: int
) -> None:
    table = recoveries.c
    key = (
        (table.digest == digest)
        & (table.contact_id == message.contact_id)
        & (table.step == message.step)
    )
    new = inserted(
        connection,
        recoveries,
        digest=digest,
        contact_id=message.contact_id,
        step=message.step,
        member_id=member_id,
        made=now,
        message=message.message,
    )
    if new:
        return
    if connection.execute(select(table.message).where(key)).scalar() != message.message:
        raise CallerError(
            "recovery.message-exists",
            f"This contact's {message.step} is here already, in other words.",
            hint="Each is said once: take the one that is here, or begin the recovery again.",
        )
