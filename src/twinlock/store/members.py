"""Members and their enrolments."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select

from twinlock.errors import CallerError, DataError
from twinlock.store.database import Database
from twinlock.store.failures import conflict_means
from twinlock.store.schema import enrolment_lists, enrolments, members
from twinlock.store.statements import insert_or, replace
from twinlock.store.values import EnrolmentList, StoredMember


@dataclass(frozen=True, slots=True)
class MemberStore:
    """Members, enrolments, and lists of valid enrolments."""

    _database: Database

    def put_member(self, member_id: bytes, name: str, card: bytes) -> None:
        """Add a member, or replace the name and card of one. Raises ``member.name-taken``."""
        taken = CallerError(
            "member.name-taken",
            f"There is a member named {name!r} already.",
            hint="Choose another name.",
        )
        with self._database.write() as connection, conflict_means(taken):
            replace(connection, members, member_id=member_id, name=name, card=card)

    def member(self, name: str) -> StoredMember | None:
        """Return the member of this name."""
        return self._one(members.c.name == name)

    def member_by_id(self, member_id: bytes) -> StoredMember | None:
        """Return the member with this 16-byte id."""
        return self._one(members.c.member_id == member_id)

    def members(self) -> list[StoredMember]:
        """Return all members, ordered by id."""
        table = members.c
        query = select(table.member_id, table.name, table.card).order_by(table.member_id)
        with self._database.read() as connection:
            return [StoredMember(*row) for row in connection.execute(query)]

    def put_enrolment(self, member_id: bytes, enrolment_id: bytes, blob: bytes) -> None:
        """Put one enrolment of a member (both ids 16 bytes). Raises ``member.unknown``."""
        with self._database.write() as connection, conflict_means(_unknown_member()):
            replace(
                connection, enrolments, member_id=member_id, enrolment_id=enrolment_id, blob=blob
            )

    def enrolments(self, member_id: bytes) -> dict[bytes, bytes]:
        """Return the member's enrolment blobs by enrolment id, ordered by it."""
        table = enrolments.c
        query = select(table.enrolment_id, table.blob).where(table.member_id == member_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.enrolment_id))
            return {row[0]: row[1] for row in rows}

    def delete_enrolment(self, member_id: bytes, enrolment_id: bytes) -> bool:
        """Delete one enrolment; return whether there was one."""
        condition = (enrolments.c.member_id == member_id) & (
            enrolments.c.enrolment_id == enrolment_id
        )
        with self._database.write() as connection:
            return connection.execute(delete(enrolments).where(condition)).rowcount == 1

    def put_enrolment_list(self, member_id: bytes, counter: int, signed: bytes) -> None:
        """Put the member's signed list of valid enrolments over one with a smaller counter.

        Raises ``enrolment.list-stale``, ``member.unknown``.
        """
        with self._database.write() as connection, conflict_means(_unknown_member()):
            statement = insert_or(connection, enrolment_lists).values(
                member_id=member_id, counter=counter, signed=signed
            )
            new = statement.excluded
            newer = statement.on_conflict_do_update(
                index_elements=["member_id"],
                set_={"counter": new.counter, "signed": new.signed},
                where=enrolment_lists.c.counter < new.counter,
            ).returning(enrolment_lists.c.counter)
            if connection.execute(newer).first() is None:
                raise DataError(
                    "enrolment.list-stale",
                    "The list of enrolments is not newer than the one that is stored.",
                    hint="Load the stored list, and sign one with a higher counter.",
                )

    def enrolment_list(self, member_id: bytes) -> EnrolmentList | None:
        """Return the member's newest signed list."""
        table = enrolment_lists.c
        query = select(table.counter, table.signed).where(table.member_id == member_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else EnrolmentList(*row)

    def _one(self, condition: ColumnElement[bool]) -> StoredMember | None:
        table = members.c
        query = select(table.member_id, table.name, table.card).where(condition)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else StoredMember(*row)


def _unknown_member() -> CallerError:
    return CallerError(
        "member.unknown",
        "There is no member with this id.",
        hint="Put the member before its enrolments.",
    )
