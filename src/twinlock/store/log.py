"""Membership logs, one per group, and the group keys sealed to members (SPEC, membership log)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, exists, insert, select, update

from twinlock.errors import CallerError
from twinlock.store.database import Database
from twinlock.store.schema import groups, log_entries, sealed_group_keys
from twinlock.store.statements import inserted, replace
from twinlock.store.values import LogEntry, LogHead, SealedGroupKey, StoredGroup

# Every opening runs this, so it is built once.
_HEADS: Final = select(groups.c.group_id, groups.c.head_seq, groups.c.head_hash)


@dataclass(frozen=True, slots=True)
class Append:
    """One entry to append, with the group keys that it hands out; see ``LogStore.append``."""

    group_id: bytes
    seq: int
    signed_entry: bytes
    entry_hash: bytes
    name: str | None = None
    sealed_keys: Sequence[SealedGroupKey | tuple[int, bytes, bytes]] = ()
    drop_keys_of: Sequence[bytes] = ()

    def run(self, connection: Connection) -> None:
        """Append inside a transaction of the caller's. Raises like ``LogStore.append``."""
        if self.name is not None:
            _found(connection, self.group_id, self.name, self.entry_hash)
        else:
            _advance(connection, self.group_id, self.seq, self.entry_hash)
        connection.execute(
            insert(log_entries).values(
                group_id=self.group_id,
                seq=self.seq,
                signed_entry=self.signed_entry,
                entry_hash=self.entry_hash,
            )
        )
        _hand_out(connection, self.group_id, self.sealed_keys, self.drop_keys_of)


@dataclass(frozen=True, slots=True)
class LogStore:
    """Membership logs and the group keys that their entries hand out."""

    _database: Database

    def append(self, append: Append) -> None:
        """Append an entry, with the group keys that it hands out, in one transaction.

        ``group_id`` and ``entry_hash`` have 32 bytes. ``seq`` is the last entry's plus one; entry 0
        founds the group and takes its ``name``. ``drop_keys_of`` (member ids) loses all sealed keys
        of this group first; then ``sealed_keys``, (epoch, member id, sealed), are put, replacing
        those of the same epoch and member.

        Raises ``group.log-moved`` when another entry took this place or an earlier one is missing,
        ``group.name-taken``, ``group.unknown``, ``group.name-misplaced``.
        """
        if (append.seq == 0) != (append.name is not None):
            raise CallerError(
                "group.name-misplaced",
                "A group gets its name with entry 0, and only then.",
                hint="Pass the name with the founding entry alone.",
            )
        with self._database.write() as connection:
            append.run(connection)

    def entries(self, group_id: bytes, since: int = 0) -> list[LogEntry]:
        """Return the entries from number ``since`` on, in order; none for an unknown group."""
        table = log_entries.c
        query = select(table.seq, table.signed_entry).where(
            table.group_id == group_id, table.seq >= since
        )
        with self._database.read() as connection:
            return [LogEntry(*row) for row in connection.execute(query.order_by(table.seq))]

    def head(self, group_id: bytes) -> LogHead | None:
        """Return the last entry's number and hash."""
        query = select(groups.c.head_seq, groups.c.head_hash).where(groups.c.group_id == group_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else LogHead(*row)

    def heads(self) -> dict[bytes, LogHead]:
        """Return the head of every group, by group id, in one snapshot."""
        with self._database.read() as connection:
            return {row[0]: LogHead(row[1], row[2]) for row in connection.execute(_HEADS)}

    def groups(self) -> list[StoredGroup]:
        """Return all groups, ordered by id."""
        query = select(groups.c.group_id, groups.c.name).order_by(groups.c.group_id)
        with self._database.read() as connection:
            return [StoredGroup(*row) for row in connection.execute(query)]

    def group_by_name(self, name: str) -> bytes | None:
        """Return the id of the group that was founded under ``name``."""
        query = select(groups.c.group_id).where(groups.c.name == name)
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def sealed_keys(self, group_id: bytes, member_id: bytes) -> dict[int, bytes]:
        """Return the group keys sealed to a member, by epoch."""
        table = sealed_group_keys.c
        query = select(table.epoch, table.sealed).where(
            table.member_id == member_id, table.group_id == group_id
        )
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query.order_by(table.epoch))}

    def groups_of(self, member_id: bytes) -> list[bytes]:
        """Return the ids of the groups of which a key is sealed to this member, in order."""
        table = sealed_group_keys.c
        query = select(table.group_id).where(table.member_id == member_id).distinct()
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(table.group_id)).scalars())


def _found(connection: Connection, group_id: bytes, name: str, entry_hash: bytes) -> None:
    if inserted(connection, groups, group_id=group_id, name=name, head_seq=0, head_hash=entry_hash):
        return
    if _is_known(connection, group_id):
        raise _moved()
    raise CallerError(
        "group.name-taken",
        f"There is a group named {name!r} already.",
        hint="Choose another name.",
    )


def _advance(connection: Connection, group_id: bytes, seq: int, entry_hash: bytes) -> None:
    # Of two appenders the second waits for the first's row lock and then matches no row.
    step = update(groups).where(groups.c.group_id == group_id, groups.c.head_seq == seq - 1)
    if connection.execute(step.values(head_seq=seq, head_hash=entry_hash)).rowcount == 1:
        return
    if _is_known(connection, group_id):
        raise _moved()
    raise CallerError(
        "group.unknown",
        "There is no group with this id.",
        hint="Found it with entry 0, or check the id.",
    )


def _hand_out(
    connection: Connection,
    group_id: bytes,
    sealed_keys: Sequence[SealedGroupKey | tuple[int, bytes, bytes]],
    drop_keys_of: Sequence[bytes],
) -> None:
    table = sealed_group_keys
    for member_id in drop_keys_of:
        connection.execute(
            delete(table).where(table.c.member_id == member_id, table.c.group_id == group_id)
        )
    for epoch, member_id, sealed in sealed_keys:
        replace(
            connection, table, group_id=group_id, member_id=member_id, epoch=epoch, sealed=sealed
        )


def _is_known(connection: Connection, group_id: bytes) -> bool:
    return bool(connection.execute(select(exists().where(groups.c.group_id == group_id))).scalar())


def _moved() -> CallerError:
    return CallerError(
        "group.log-moved",
        "The group's log does not end where this entry goes on.",
        hint="Load the log again, check the new entries, and sign your change again.",
    )
