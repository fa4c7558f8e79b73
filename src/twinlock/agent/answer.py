"""Answering a request: opening locks, checking commitments, wrapping release keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from twinlock.agent.examine import AskedRecord, ExaminedRequest, WayIn
from twinlock.agent.keys import GroupKeys
from twinlock.core.enrolment import MemberKeys
from twinlock.core.envelope import AllLock, GroupLock, ShareLock, encode_lock
from twinlock.core.locks import check_release_key, check_share, combine, open_sealed
from twinlock.core.membership import Member
from twinlock.core.primitives import hpke_seal, sha256
from twinlock.core.release import (
    ShareItem,
    ShareMessage,
    decode_share,
    share_info,
    split_signed,
    verify_message,
)
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, TwinlockError


@dataclass(frozen=True, slots=True)
class OpenedLock:
    """A record's release key, the lock that gave it, and the group it was opened for."""

    release_key: Secret
    lock_digest: bytes
    group_id: bytes


@dataclass(slots=True)
class Answerer:
    """Opens locks of one examined request with one member's group keys."""

    request: ExaminedRequest
    group_keys: GroupKeys
    keys: MemberKeys
    received: dict[tuple[int, int], dict[int, Secret]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def open_all(self) -> list[OpenedLock]:
        """Open one lock of every record. Raises as ``open_record``."""
        return [self.open_record(at, record) for at, record in enumerate(self.request.records)]

    def open_record(self, position: int, record: AskedRecord) -> OpenedLock:
        """Open the first lock that can be opened.

        Raises CallerError ``release.share-missing`` when only AND locks are left and another
        member's share is not there, DataError ``data.not-authentic`` for a damaged lock.
        """
        for way in record.ways:
            key = self._open_way(position, record, way)
            if key is not None:
                check_release_key(key, record.core.dek_id, record.header.commitment)
                return OpenedLock(key, sha256(encode_lock(way.lock)), way.group_id)
        raise CallerError(
            "release.share-missing",
            "A record of this request needs a second member's share.",
            hint="Have a member of the other group run `twinlock release --help-request`, and "
            "pass the result with --share.",
        )

    def _open_way(self, position: int, record: AskedRecord, way: WayIn) -> Secret | None:
        if isinstance(way.lock, GroupLock):
            return self._open(record, way.lock, 0, 1)
        shares = dict(self.received.get((position, way.lock_number), {}))
        shares[way.index] = self._open_share(record, way.lock, way.index)
        if len(shares) < len(way.lock.shares):
            return None
        return combine([shares[index] for index in range(len(shares))])

    def _open_share(self, record: AskedRecord, lock: AllLock, index: int) -> Secret:
        share = self._open(record, lock.shares[index], index, len(lock.shares))
        check_share(share, record.core.dek_id, index, lock.shares[index].commitment)
        return share

    def _open(
        self, record: AskedRecord, lock: GroupLock | ShareLock, index: int, count: int
    ) -> Secret:
        group = self.request.groups[lock.group_id]
        return open_sealed(
            lock,
            self.group_keys.key(group, lock.epoch),
            core=record.core.raw,
            context=record.context_raw,
            index=index,
            count=count,
            commitment=record.header.commitment,
        )

    def receive(self, signed_shares: Iterable[bytes]) -> None:
        """Take other members' shares for this request.

        Raises DataError ``share.foreign`` for another request's, ``share.wrong`` naming the
        sender of one that does not fit.
        """
        for signed in signed_shares:
            message = self._verified_share(signed)
            for item in message.items:
                self._receive_item(message, item)

    def _verified_share(self, signed: bytes) -> ShareMessage:
        # The sender's name is inside; it is used only to find the key that the signature must
        # match, and the content is used only after it did.
        claimed = decode_share(split_signed(signed)[0])
        for known in self.request.groups.values():
            membership = known.state.members.get(claimed.member_id)
            if membership is not None:
                message = decode_share(verify_message(signed, membership.member.signing_public))
                if message.request_digest == self.request.digest:
                    return message
        raise DataError(
            "share.foreign",
            "This share answers another request, or comes from nobody in the record's groups.",
            hint="Ask the other member to help with this very request.",
        )

    def _receive_item(self, message: ShareMessage, item: ShareItem) -> None:
        try:
            record = self.request.records[item.position]
            lock = record.header.locks[item.lock]
            if not isinstance(lock, AllLock):
                raise IndexError
            commitment = lock.shares[item.index].commitment
        except IndexError as error:
            raise _wrong_share(self._name(message)) from error
        info = share_info(
            self.request.digest, self.keys.kem.kid, (item.position, item.lock, item.index)
        )
        try:
            share = self.keys.kem.open(item.sealed, info)
            check_share(share, record.core.dek_id, item.index, commitment)
        except TwinlockError as error:
            raise _wrong_share(self._name(message)) from error
        self.received[item.position, item.lock][item.index] = share

    def _name(self, message: ShareMessage) -> str:
        for known in self.request.groups.values():
            membership = known.state.members.get(message.member_id)
            if membership is not None:
                return membership.member.name
        return "an unknown member"

    def seal_shares(self) -> tuple[bytes, list[ShareItem]]:
        """Open this member's shares and seal each to the requester; returns its KEM key id too.

        Raises DataError ``share.requester-unknown`` when the requester is in none of the groups.
        """
        requester = self._requester()
        items = []
        for position, record in enumerate(self.request.records):
            for way in record.ways:
                if isinstance(way.lock, AllLock):
                    share = self._open_share(record, way.lock, way.index)
                    place = (position, way.lock_number, way.index)
                    info = share_info(self.request.digest, requester.kem_kid, place)
                    sealed = hpke_seal(requester.kem, requester.kem_public, info, share.reveal())
                    items.append(ShareItem(*place, sealed))
        return requester.kem_kid, items

    def _requester(self) -> Member:
        wanted = self.request.message.member_id
        partners = {
            share.group_id
            for record in self.request.records
            for lock in record.header.locks
            if isinstance(lock, AllLock)
            for share in lock.shares
        }
        for group_id in partners & set(self.request.groups):
            membership = self.request.groups[group_id].state.members.get(wanted)
            if membership is not None:
                return membership.member
        raise DataError(
            "share.requester-unknown",
            "Whoever asks is a member of none of the groups that share this lock.",
            hint="Do not help; tell an admin.",
        )


def _wrong_share(name: str) -> DataError:
    return DataError(
        "share.wrong",
        f"The share from {name} does not fit this record.",
        hint="Ask for it again; if it happens twice, that member's agent or the lock is damaged.",
    )
