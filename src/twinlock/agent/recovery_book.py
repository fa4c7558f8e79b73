"""What an agent remembers of recoveries: notices in its groups' logs, and those it helps with.

A notice counts from the moment when this agent first saw it in a log that it verified, by its own
clock: the times that stand in entries are their authors' (SPEC 31).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.membership import (
    GroupState,
    MemberRekey,
    RecoveryBegin,
    RecoveryCancel,
    SignedEntry,
)
from twinlock.core.request import GroupNews
from twinlock.errors import CallerError

MAX_AIDS: Final = 64
AID_LIFE: Final = 60 * 86400
_MAX_TRIES: Final = 255

NoticeKey = tuple[bytes, bytes, bytes]
"""Group id, digest, member id: the same digest of another group or member is another notice."""


@dataclass(frozen=True, slots=True)
class SeenNotice:
    """A recovery that a group's log announces.

    ``first_seen``: by this agent, in seconds since the epoch. ``ended``: cancelled by the member
    whom it concerns or by an admin, or followed by new keys of that member; it stays so.
    """

    group_id: bytes
    digest: bytes
    member_id: bytes
    begun_by: bytes
    first_seen: int
    ended: bool = False

    @property
    def key(self) -> NoticeKey:
        """What it is found by."""
        return self.group_id, self.digest, self.member_id

    def items(self) -> list[Any]:
        """Return the array that stands for this notice."""
        return [
            self.group_id,
            self.digest,
            self.member_id,
            self.begun_by,
            self.first_seen,
            self.ended,
        ]

    def merged(self, other: SeenNotice) -> SeenNotice:
        """Return what two runs of the agent know together."""
        first = min(self.first_seen, other.first_seen)
        return replace(self, first_seen=first, ended=self.ended or other.ended)


@dataclass(frozen=True, slots=True)
class Aid:
    """What a contact's agent keeps of one recovery: the messages, and how far it came.

    ``wrong_codes``: how often another code than the right one was typed. ``begun``: seconds.
    """

    ask: bytes
    reply: bytes
    begun: int
    opening: bytes = b""
    wrong_codes: int = 0
    confirmed: bool = False

    def items(self) -> list[Any]:
        """Return the array that stands for this aid."""
        return [
            self.ask,
            self.reply,
            self.begun,
            self.opening,
            self.wrong_codes,
            self.confirmed,
        ]

    def merged(self, stored: Aid) -> Aid:
        """Return what two runs know together. The kept reply is the one that went out first."""
        if self.reply != stored.reply:
            return stored
        return replace(
            self,
            opening=stored.opening or self.opening,
            wrong_codes=max(self.wrong_codes, stored.wrong_codes),
            confirmed=self.confirmed or stored.confirmed,
        )


@dataclass(slots=True)
class RecoveryBook:
    """Notices by group, digest and member; aids by digest."""

    notices: dict[NoticeKey, SeenNotice] = field(default_factory=dict)
    aids: dict[bytes, Aid] = field(default_factory=dict)

    def items(self) -> list[Any]:
        """Return the array that stands for this book."""
        return [
            [self.notices[key].items() for key in sorted(self.notices)],
            [[digest, *self.aids[digest].items()] for digest in sorted(self.aids)],
        ]

    def merge(self, other: RecoveryBook) -> None:
        """Take over what another run of this agent kept."""
        for key, notice in other.notices.items():
            ours = self.notices.get(key)
            self.notices[key] = notice if ours is None else ours.merged(notice)
        for digest, aid in other.aids.items():
            mine = self.aids.get(digest)
            self.aids[digest] = aid if mine is None else mine.merged(aid)

    def read(
        self,
        news: Iterable[GroupNews],
        before: Mapping[bytes, GroupState],
        after: Mapping[bytes, GroupState],
        now: int,
    ) -> None:
        """Note what verified news say of recoveries.

        ``before`` and ``after`` are the groups as they were and are; only entries between the two
        were verified, so only they are read.
        """
        for log in news:
            group = after.get(log.group_id)
            if group is None:
                continue
            known = before.get(log.group_id)
            admins = group.admins if known is None else group.admins | known.admins
            for signed in map(SignedEntry.decode, log.entries):
                if (-1 if known is None else known.seq) < signed.entry.seq <= group.seq:
                    self._note(group.group_id, signed, admins, now)

    def add_aid(self, digest: bytes, aid: Aid) -> None:
        """Keep one more; those of more than 60 days before go.

        Raises CallerError ``recovery.too-many``: one that still counts must not be forgotten, since
        its number answers one request once.
        """
        self.aids = {d: a for d, a in self.aids.items() if a.begun >= aid.begun - AID_LIFE}
        if digest not in self.aids and len(self.aids) >= MAX_AIDS:
            raise CallerError(
                "recovery.too-many",
                f"This member helps with {MAX_AIDS} recoveries already.",
                hint="Wait until some are over, or let another contact help.",
            )
        self.aids[digest] = aid

    def _note(
        self, group_id: bytes, signed: SignedEntry, admins: AbstractSet[bytes], now: int
    ) -> None:
        entry = signed.entry
        if isinstance(entry.op, RecoveryBegin):
            notice = SeenNotice(group_id, entry.op.digest, entry.op.member_id, entry.actor_id, now)
            self.notices.setdefault(notice.key, notice)
        elif isinstance(entry.op, RecoveryCancel):
            for seen in self._in(group_id):
                if seen.digest == entry.op.digest and entry.actor_id in admins | {seen.member_id}:
                    self.notices[seen.key] = replace(seen, ended=True)
        elif isinstance(entry.op, MemberRekey):
            for seen in self._in(group_id):
                if seen.member_id == entry.actor_id:
                    self.notices[seen.key] = replace(seen, ended=True)

    def _in(self, group_id: bytes) -> list[SeenNotice]:
        return [notice for notice in self.notices.values() if notice.group_id == group_id]


def decode_recovery_book(value: Any) -> RecoveryBook:
    """Read what ``items`` returned. Raises ``format.malformed``."""
    book = RecoveryBook()
    if value == []:  # Written by an agent that reads no notices, such as the browser's.
        return book
    notices, aids = cbor.take_list(value, 2, 2)
    for row in cbor.take_list(notices):
        notice = _take_notice(row)
        book.notices[notice.key] = notice
    for row in cbor.take_list(aids):
        digest, aid = _take_aid(row)
        book.aids[digest] = aid
    return book


def _take_notice(row: Any) -> SeenNotice:
    group_id, digest, member, begun_by, first_seen, ended = cbor.take_list(row, 6, 6)
    return SeenNotice(
        cbor.take_bytes(group_id, 32),
        cbor.take_bytes(digest, 32),
        cbor.take_bytes(member, 16),
        cbor.take_bytes(begun_by, 16),
        cbor.take_uint(first_seen),
        bool(ended),
    )


def _take_aid(row: Any) -> tuple[bytes, Aid]:
    digest, ask, reply, begun, opening, wrong, confirmed = cbor.take_list(row, 7, 7)
    return cbor.take_bytes(digest, 32), Aid(
        cbor.take_bytes(ask),
        cbor.take_bytes(reply),
        cbor.take_uint(begun),
        cbor.take_bytes(opening),
        cbor.take_uint(wrong, _MAX_TRIES),
        bool(confirmed),
    )
