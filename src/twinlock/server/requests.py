"""Requests: checked without a member first, then bound to the agent that will answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from twinlock.core.context import Context
from twinlock.core.envelope import Lock, encode_lock, new_header
from twinlock.core.membership import GroupState
from twinlock.core.ports import TransportKey
from twinlock.core.primitives import sha256
from twinlock.core.request import (
    MAX_DEKS,
    MAX_REQUEST_LIFE,
    GroupHead,
    Hello,
    RequestBundle,
    RequestItem,
    RequestMessage,
    decode_hello,
    request_digest,
)
from twinlock.core.statements import Statement
from twinlock.errors import CallerError, TwinlockError
from twinlock.server.records import ReadRecord, group_ids


@dataclass(frozen=True, slots=True)
class Asked:
    """One record of a request: read and checked, or the error that it was refused with."""

    context: Context
    record: ReadRecord | None
    error: TwinlockError | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A request as it was sent to one agent: everything that a release is compared with.

    ``positions`` maps the message's items to the request's records; ``lock_digests`` are, per
    item, the locks that the member was offered; ``refused`` are the records left out.
    """

    message: RequestMessage
    raw: bytes
    digest: bytes
    transport: TransportKey
    positions: tuple[int, ...]
    lock_digests: tuple[frozenset[bytes], ...]
    refused: Mapping[int, TwinlockError]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a request needs of the vault that made it."""

    deployment_id: bytes
    states: Callable[[], Mapping[bytes, GroupState]]
    transport: Callable[[bytes], tuple[TransportKey, Statement]]
    news: Callable[[bytes, Hello, set[bytes]], RequestBundle]
    clock: Callable[[], int]
    randomness: Callable[[int], bytes]


class Request:
    """Records that an application wants opened, and the agents that were asked for them.

    Give it to ``Agent.release`` in the same process, or send ``bind(hello)`` to an agent elsewhere.
    """

    def __init__(self, desk: Desk, asked: Sequence[Asked], purpose: str) -> None:
        if not 1 <= len(asked) <= MAX_DEKS:
            raise CallerError(
                "request.size",
                f"A request asks for 1 to {MAX_DEKS} DEKs, not {len(asked)}.",
                hint="Ask page by page.",
            )
        self.asked = tuple(asked)
        self.purpose = purpose
        self._desk = desk
        self._bound: dict[bytes, tuple[Pending, bytes]] = {}
        self._lock = threading.Lock()

    @property
    def pending(self) -> tuple[Pending, ...]:
        """What was sent to agents so far."""
        with self._lock:
            return tuple(pending for pending, _ in self._bound.values())

    def bind(self, hello: bytes) -> bytes:
        """Return the request bundle for the agent that said ``hello``.

        The same for the same hello until it expires; a person may take longer than that to look.

        Raises the records' own error when none of them can be asked for, CallerError
        ``record.no-lock`` when the member has no way into any, ``hello.foreign``.
        """
        with self._lock:
            found = self._bound.get(hello)
            if found is None or self._desk.clock() > found[0].message.not_after:
                found = self._bind(decode_hello(hello))
                self._bound[hello] = found
            return found[1]

    def assist(self, hello: bytes, request: bytes) -> bytes:
        """Return a bundle with which another member's agent can help with an AND lock.

        ``request`` is the bundle that the requester got.
        """
        helper = decode_hello(hello)
        for pending, bundle in tuple(self._bound.values()):
            if bundle == request:
                groups = {head.group_id for head in pending.message.heads}
                return self._desk.news(pending.raw, helper, groups).encode()
        raise CallerError(
            "request.unknown",
            "This request was not sent by this process, or has ended.",
            hint="Ask again.",
        )

    def _bind(self, hello: Hello) -> tuple[Pending, bytes]:
        if hello.deployment_id != self._desk.deployment_id:
            raise CallerError(
                "hello.foreign",
                "This agent belongs to another deployment.",
                hint="Use the agent of a member of this deployment.",
            )
        states = self._desk.states()
        items, positions, offered, refused = self._items_for(hello.member_id, states)
        if not items:
            raise next(iter(refused.values()))
        key, _ = self._desk.transport(hello.agent_nonce)
        groups = {group_id for locks in offered for lock in locks for group_id in group_ids(lock)}
        message = RequestMessage(
            self._desk.deployment_id,
            self._desk.randomness(16),
            hello.member_id,
            hello.session_hash,
            self.purpose,
            self._desk.clock() + MAX_REQUEST_LIFE,
            key.kid,
            sha256(key.public),
            tuple(GroupHead(g, states[g].seq, states[g].head) for g in sorted(groups)),
            tuple(items),
        )
        raw = message.encode()
        digests = tuple(frozenset(sha256(encode_lock(x)) for x in locks) for locks in offered)
        pending = Pending(
            message, raw, request_digest(raw), key, tuple(positions), digests, refused
        )
        return pending, self._desk.news(raw, hello, groups).encode()

    def _items_for(
        self, member_id: bytes, states: Mapping[bytes, GroupState]
    ) -> tuple[list[RequestItem], list[int], list[tuple[Lock, ...]], dict[int, TwinlockError]]:
        mine = {group_id for group_id, state in states.items() if member_id in state.members}
        items, positions, offered = [], [], []
        refused: dict[int, TwinlockError] = {}
        for at, asked in enumerate(self.asked):
            if asked.record is None:
                refused[at] = asked.error or _no_lock()
                continue
            locks = tuple(x for x in asked.record.locks if mine.intersection(group_ids(x)))
            if not locks:
                refused[at] = _no_lock()
                continue
            items.append(_item(asked.record, locks))
            positions.append(at)
            offered.append(locks)
        return items, positions, offered, refused


def _item(record: ReadRecord, locks: tuple[Lock, ...]) -> RequestItem:
    header = record.head.header
    reduced = new_header(header.commitment, header.outer_suite, header.wrapping_kid, locks)
    return RequestItem(record.head.core.raw, record.prepared.context, reduced.raw)


def _no_lock() -> CallerError:
    return CallerError(
        "record.no-lock",
        "This record has no lock for a group of this member.",
        hint="Ask a member of the record's group, or have the record re-sealed for another.",
    )
