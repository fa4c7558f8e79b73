"""Members: enrolments that are kept here, signed lists, and what sign-ins compare with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from twinlock.errors import CallerError, DataError
from twinlock.store.database import Database
from twinlock.store.failures import conflict_means
from twinlock.store.log import Append
from twinlock.store.schema import enrolment_lists, enrolments, logins, members
from twinlock.store.statements import insert_or, replace
from twinlock.store.values import EnrolmentList, StoredMember


@dataclass(frozen=True, slots=True, kw_only=True)
class PutMember:
    """A member's new ways in. ``blobs``: all enrolments that are kept here, by 16-byte id.

    ``logins``: (kind, value), in order; a value None forgets all of the kind, and of the kinds in
    ``single`` there is one value. ``appends`` go with it.
    """

    member_id: bytes
    name: str
    counter: int
    signed_list: bytes = field(repr=False)
    blobs: Mapping[bytes, bytes] = field(repr=False)
    logins: Sequence[tuple[str, bytes | None]] = field(default=(), repr=False)
    single: frozenset[str] = frozenset()
    appends: Sequence[Append] = ()


@dataclass(frozen=True, slots=True)
class MemberStore:
    """Members and their ways in."""

    _database: Database

    def put(self, new: PutMember) -> None:
        """Put a member's ways in over those with a smaller counter, all or nothing.

        Raises ``enrolment.list-stale``, ``member.name-taken``, and like ``LogStore.append``.
        """
        taken = CallerError(
            "member.name-taken",
            f"There is a member named {new.name!r} already.",
            hint="Choose another name.",
        )
        with self._database.write() as connection:
            for append in new.appends:
                append.run(connection)
            with conflict_means(taken):
                replace(connection, members, member_id=new.member_id, name=new.name)
            _put_list(connection, new)
            connection.execute(delete(enrolments).where(enrolments.c.member_id == new.member_id))
            for enrolment_id, blob in new.blobs.items():
                row = {"member_id": new.member_id, "enrolment_id": enrolment_id, "blob": blob}
                connection.execute(insert(enrolments).values(**row))
            for kind, value in new.logins:
                if value is None or kind in new.single:
                    mine = (logins.c.member_id == new.member_id) & (logins.c.kind == kind)
                    connection.execute(delete(logins).where(mine))
                if value is not None:
                    replace(connection, logins, **_login(new.member_id, kind, value))

    def member(self, name: str) -> StoredMember | None:
        """Return the member of this name."""
        return self._one(members.c.name == name)

    def member_by_id(self, member_id: bytes) -> StoredMember | None:
        """Return the member with this 16-byte id."""
        return self._one(members.c.member_id == member_id)

    def members(self) -> list[StoredMember]:
        """Return all members, ordered by id."""
        query = select(members.c.member_id, members.c.name).order_by(members.c.member_id)
        with self._database.read() as connection:
            return [StoredMember(*row) for row in connection.execute(query)]

    def enrolments(self, member_id: bytes) -> dict[bytes, bytes]:
        """Return the member's enrolment blobs by enrolment id, ordered by it."""
        table = enrolments.c
        query = select(table.enrolment_id, table.blob).where(table.member_id == member_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.enrolment_id))
            return {row[0]: row[1] for row in rows}

    def all_enrolments(self) -> list[tuple[bytes, bytes]]:
        """Return (member id, blob) of every enrolment that is kept here, ordered by member."""
        query = select(enrolments.c.member_id, enrolments.c.blob)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(*enrolments.primary_key))
            return [(row[0], row[1]) for row in rows]

    def enrolment_list(self, member_id: bytes) -> EnrolmentList | None:
        """Return the member's newest signed list."""
        table = enrolment_lists.c
        query = select(table.counter, table.signed).where(table.member_id == member_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else EnrolmentList(*row)

    def logins(self, member_id: bytes, kind: str) -> list[bytes]:
        """Return what sign-ins of one kind are compared with."""
        table = logins.c
        query = select(table.value).where(table.member_id == member_id, table.kind == kind)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(table.login_id)).scalars())

    def all_logins(self, kind: str) -> list[tuple[bytes, bytes]]:
        """Return (member id, value) of every sign-in of one kind, ordered by member."""
        query = select(logins.c.member_id, logins.c.value).where(logins.c.kind == kind)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(*logins.primary_key))
            return [(row[0], row[1]) for row in rows]

    def replace_login(self, member_id: bytes, kind: str, old: bytes, new: bytes) -> bool:
        """Put a value in the place of exactly this one; return whether it was still there."""
        table = logins.c
        same = (table.member_id == member_id) & (table.kind == kind) & (table.value == old)
        with self._database.write() as connection:
            changed = connection.execute(update(logins).where(same).values(value=new))
            return changed.rowcount == 1

    def _one(self, condition: ColumnElement[bool]) -> StoredMember | None:
        query = select(members.c.member_id, members.c.name).where(condition)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else StoredMember(*row)


def _put_list(connection: Connection, new: PutMember) -> None:
    statement = insert_or(connection, enrolment_lists).values(
        member_id=new.member_id, counter=new.counter, signed=new.signed_list
    )
    values = statement.excluded
    newer = statement.on_conflict_do_update(
        index_elements=["member_id"],
        set_={"counter": values.counter, "signed": values.signed},
        where=enrolment_lists.c.counter < values.counter,
    ).returning(enrolment_lists.c.counter)
    if connection.execute(newer).first() is None:
        raise DataError(
            "enrolment.list-stale",
            "The list of enrolments is not newer than the one that is stored.",
            hint="Load the stored list, and sign one with a higher counter.",
        )


def _login(member_id: bytes, kind: str, value: bytes) -> dict[str, object]:
    login_id = hashlib.sha256(value).digest()[:16]
    return {"member_id": member_id, "kind": kind, "login_id": login_id, "value": value}
