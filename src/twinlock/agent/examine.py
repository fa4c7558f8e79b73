"""Examining a request: everything an agent checks before it opens a single lock.

Nothing from the server is believed: the transport key must be stated by the pinned token over this
agent's own nonce, the groups' logs must continue the pinned heads, contexts are decoded and shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twinlock.agent.follow import check_heads, follow
from twinlock.agent.state import AgentSession, KnownGroup, MemberState
from twinlock.core.context import ShownContext, decode_context
from twinlock.core.envelope import (
    AllLock,
    Core,
    GroupLock,
    LockHeader,
    decode_core,
    decode_header,
)
from twinlock.core.ports import TransportKey
from twinlock.core.primitives import equal, sha256
from twinlock.core.request import (
    MAX_REQUEST_LIFE,
    RequestBundle,
    RequestItem,
    RequestMessage,
    decode_request,
    request_digest,
)
from twinlock.core.statements import CLOCK_SKEW, MAX_TRANSPORT_LIFE, verify_transport
from twinlock.errors import CallerError, DataError

SESSION_LIFE: Final = MAX_TRANSPORT_LIFE


@dataclass(frozen=True, slots=True)
class WayIn:
    """One lock that this member can open, wholly or as one share.

    ``lock_number`` counts the locks of the record as they stand in the request; ``index`` is the
    member's share in an AND lock.
    """

    lock_number: int
    lock: GroupLock | AllLock
    index: int
    group_id: bytes


@dataclass(frozen=True, slots=True)
class AskedRecord:
    """One DEK that is asked for, with what this member can do about it."""

    core: Core
    context: ShownContext
    context_raw: bytes
    header: LockHeader
    ways: tuple[WayIn, ...]


@dataclass(frozen=True, slots=True)
class ExaminedRequest:
    """A request whose statements all hold. What it asks for is for the member to judge."""

    digest: bytes
    message: RequestMessage
    transport: TransportKey | None
    groups: dict[bytes, KnownGroup]
    records: tuple[AskedRecord, ...]
    audit_head: bytes
    identity: bytes

    @property
    def deks_by_group(self) -> Counter[bytes]:
        """How many DEKs are asked for through each group (the first way in of each record)."""
        return Counter(record.ways[0].group_id for record in self.records if record.ways)

    def group_of_share(self, position: int, lock: int, index: int) -> bytes:
        """Return the group whose share stands at an index of a record's AND lock."""
        found = self.records[position].header.locks[lock]
        return found.shares[index].group_id if isinstance(found, AllLock) else found.group_id

    def describe(self) -> str:
        """Say what is asked, by whom and why, in words for the member."""
        lines = [
            f"Purpose: {_harmless(self.message.purpose) or '(none given)'}",
            f"Records: {len(self.records)}",
        ]
        for group_id, count in self.deks_by_group.items():
            lines.append(f"  {count} through group {self.groups[group_id].state.name}")
        lines += [f"  {_line(record.context)}" for record in self.records[:20]]
        if len(self.records) > 20:
            lines.append(f"  and {len(self.records) - 20} more")
        return "\n".join(lines)


def examine(
    state: MemberState, bundle: RequestBundle, *, now: int, helping: bool = False
) -> ExaminedRequest:
    """Check a request for this member; ``helping``: it is another member's, and an AND lock.

    Raises DataError ``request.*``, ``transport.*``, ``log.*`` or ``format.*``.
    """
    message = decode_request(bundle.request)
    _check_addressed(state, message, helping)
    _check_fresh(message, now)
    headers = [decode_header(item.header) for item in message.items]
    also = frozenset(head.group_id for head in message.heads) if helping else _partners(headers)
    directory, groups = follow(state, bundle.directory, bundle.news, now=now, also=also)
    check_heads(groups, message.heads)
    transport = None
    if not helping:
        session = _session(state, message, now)
        transport = verify_transport(
            bundle.transport,
            identity_spki=directory.identity.public,
            fingerprint=sha256(directory.identity.public),
            deployment_id=state.deployment_id,
            agent_nonce=session.nonce,
            now=now,
        )
        _check_transport(message, transport)
    mine = frozenset(
        group_id
        for group_id, known in groups.items()
        if known.verified and state.member_id in known.state.members
    )
    asked = tuple(
        _record(state, item, header, mine)
        for item, header in zip(message.items, headers, strict=True)
    )
    _check_tokens(asked, groups, sha256(directory.identity.public))
    return ExaminedRequest(
        request_digest(bundle.request),
        message,
        transport,
        groups,
        asked,
        bundle.audit_head,
        sha256(directory.identity.public),
    )


def _check_tokens(
    asked: Iterable[AskedRecord], groups: dict[bytes, KnownGroup], identity: bytes
) -> None:
    """Check that every group asked for trusts this very token.

    One group's admins may vouch for a new token; they must not speak for another group's records.
    """
    for group_id in {way.group_id for record in asked for way in record.ways}:
        state = groups[group_id].state
        if not equal(state.identity_fingerprint, identity):
            raise DataError(
                "group.identity",
                f"Group {state.name} trusts another token than the one that asks here.",
                hint="Do not release anything. Ask an admin whether the token was replaced.",
            )


def _check_addressed(state: MemberState, message: RequestMessage, helping: bool) -> None:
    mine = message.member_id == state.member_id
    if message.deployment_id != state.deployment_id or mine == helping:
        raise DataError(
            "request.not-mine",
            "This request is addressed to another member or deployment.",
            hint="Ask the server for a request of your own."
            if not helping
            else "Your own request is released, not helped with.",
        )


def _check_fresh(message: RequestMessage, now: int) -> None:
    if not now - CLOCK_SKEW <= message.not_after <= now + MAX_REQUEST_LIFE + CLOCK_SKEW:
        raise DataError(
            "request.expired",
            "This request is not valid now.",
            hint="Ask the server for a new one, and compare the clocks of both machines.",
        )


def _session(state: MemberState, message: RequestMessage, now: int) -> AgentSession:
    for session in state.sessions:
        alive = session.begun - CLOCK_SKEW <= now <= session.begun + SESSION_LIFE
        if alive and equal(session.session_hash, message.session_hash):
            return session
    raise DataError(
        "request.session",
        "This request belongs to no session that this agent opened in the last two hours.",
        hint="Send the server a new hello (`twinlock member hello`) and ask again.",
    )


def _check_transport(message: RequestMessage, transport: TransportKey) -> None:
    same = equal(message.transport_digest, sha256(transport.public))
    if message.transport_kid != transport.kid or not same:
        raise DataError(
            "transport.replaced",
            "The request names another transport key than the token stated.",
            hint="Do not release anything. The server may be in foreign hands; tell an admin.",
        )


def _partners(headers: Iterable[LockHeader]) -> frozenset[bytes]:
    """Groups that only share an AND lock with one of ours: followed, but trusted with nothing."""
    return frozenset(
        share.group_id
        for header in headers
        for lock in header.locks
        if isinstance(lock, AllLock)
        for share in lock.shares
    )


def _record(
    state: MemberState, item: RequestItem, header: LockHeader, mine: frozenset[bytes]
) -> AskedRecord:
    shown = decode_context(item.context)
    if shown.deployment_id != state.deployment_id:
        raise DataError(
            "request.not-mine",
            "A record in this request belongs to another deployment.",
            hint="Do not release anything; tell an admin.",
        )
    ways = tuple(_ways(header, mine))
    return AskedRecord(decode_core(item.core), shown, item.context, header, ways)


def _ways(header: LockHeader, mine: frozenset[bytes]) -> Iterable[WayIn]:
    """Whole locks first: they need nobody else."""
    for number, lock in enumerate(header.locks):
        if isinstance(lock, GroupLock) and lock.group_id in mine:
            yield WayIn(number, lock, 0, lock.group_id)
    for number, lock in enumerate(header.locks):
        if isinstance(lock, AllLock):
            for index, share in enumerate(lock.shares):
                if share.group_id in mine:
                    yield WayIn(number, lock, index, share.group_id)


def check_expected(records: Iterable[AskedRecord], expected: Iterable[bytes]) -> None:
    """Check that every context asked for is among ``expected`` encodings.

    Raises DataError ``request.unexpected``: the server asks for what the user did not open.
    """
    allowed = set(expected)
    for record in records:
        if record.context_raw not in allowed:
            raise DataError(
                "request.unexpected",
                f"The server asks for {_line(record.context)}, which you did not ask for.",
                hint="Do not release anything; tell an admin.",
            )


def require_ways(records: Iterable[AskedRecord]) -> None:
    """Check that this member has a way into every record. Raises ``release.no-lock``."""
    for record in records:
        if not record.ways:
            raise CallerError(
                "release.no-lock",
                f"No lock of {_line(record.context)} opens with this member's groups.",
                hint="Ask somebody who is a member of the record's group.",
            )


def _line(context: ShownContext) -> str:
    tenant = f"{context.tenant}: " if context.tenant else ""
    version = "" if context.version is None else f", version {context.version}"
    return _harmless(f"{tenant}{context.table} {context.record}, {context.scope}{version}")


def _harmless(text: str) -> str:
    """Escape what could add a line to the description, or move and recolour a terminal."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
