"""The request: what the server asks a member's agent to release.

``Hello`` opens an agent's session, ``RequestMessage`` is what is hashed and answered, and
``RequestBundle`` carries it together with all that the agent needs to check it by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.primitives import sha256
from twinlock.core.statements import Statement

MAX_DEKS: Final = 1000
MAX_BUNDLE_SIZE: Final = 64 << 20
MAX_REQUEST_LIFE: Final = 120

_HELLO: Final = "twinlock/v1/hello"
_REQUEST: Final = "twinlock/v1/request"
_BUNDLE: Final = "twinlock/v1/request-bundle"
_GROUPS: Final = "twinlock/v1/group-bundle"


@dataclass(frozen=True, slots=True)
class GroupHead:
    """How far somebody has followed a group's log: the number of its last entry, and its hash."""

    group_id: bytes
    seq: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """An agent's session: its fresh nonce, the heads that it knows, and where it runs."""

    deployment_id: bytes
    member_id: bytes
    agent_nonce: bytes
    session_hash: bytes
    heads: tuple[GroupHead, ...]
    placement: str

    def encode(self) -> bytes:
        """Encode for the server."""
        return cbor.encode(
            [
                _HELLO,
                self.deployment_id,
                self.member_id,
                self.agent_nonce,
                self.session_hash,
                _heads_items(self.heads),
                self.placement,
            ]
        )


def decode_hello(data: bytes) -> Hello:
    """Decode an agent's hello. Raises ``format.*``."""
    _, deployment, member, nonce, session, heads, placement = cbor.decode_labelled(data, _HELLO, 7)
    return Hello(
        cbor.take_bytes(deployment, 16),
        cbor.take_bytes(member, 16),
        cbor.take_bytes(nonce, 32),
        cbor.take_bytes(session, 32),
        _take_heads(heads),
        cbor.take_text(placement),
    )


@dataclass(frozen=True, slots=True)
class RequestItem:
    """One DEK that is asked for; ``header`` is reduced to the locks meant for this member."""

    core: bytes
    context: bytes
    header: bytes


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """What a release answers. ``raw`` is its encoding, ``digest`` the SHA-256 of that."""

    deployment_id: bytes
    request_id: bytes
    member_id: bytes
    session_hash: bytes
    purpose: str
    not_after: int
    transport_kid: bytes
    transport_digest: bytes
    heads: tuple[GroupHead, ...]
    items: tuple[RequestItem, ...]

    def encode(self) -> bytes:
        """Encode; 1..1000 items."""
        return cbor.encode(
            [
                _REQUEST,
                self.deployment_id,
                self.request_id,
                self.member_id,
                self.session_hash,
                self.purpose,
                self.not_after,
                self.transport_kid,
                self.transport_digest,
                _heads_items(self.heads),
                [[i.core, i.context, i.header] for i in self.items],
            ]
        )


def request_digest(raw: bytes) -> bytes:
    """Return SHA-256 of an encoded request."""
    return sha256(raw)


def decode_request(raw: bytes) -> RequestMessage:
    """Decode a request. Raises ``format.*``."""
    items = cbor.decode_labelled(raw, _REQUEST, 11, max_size=MAX_BUNDLE_SIZE)
    _, deployment, request_id, member, session, purpose, not_after, kid, digest, heads, rows = items
    return RequestMessage(
        cbor.take_bytes(deployment, 16),
        cbor.take_bytes(request_id, 16),
        cbor.take_bytes(member, 16),
        cbor.take_bytes(session, 32),
        cbor.take_text(purpose),
        cbor.take_uint(not_after),
        cbor.take_bytes(kid, 16),
        cbor.take_bytes(digest, 32),
        _take_heads(heads),
        tuple(_take_item(row) for row in cbor.take_list(rows, 1, MAX_DEKS)),
    )


@dataclass(frozen=True, slots=True)
class GroupNews:
    """A group's log entries after the head that the agent named, in order, as signed entries."""

    group_id: bytes
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SealedGroupKey:
    """A group's private key of one epoch, sealed to the member."""

    group_id: bytes
    epoch: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class RequestBundle:
    """A request with everything needed to check it. Nothing in it is trusted before it is checked.

    ``directory`` holds the token directory's statements (identity and log key among them).
    """

    request: bytes
    transport: Statement
    directory: tuple[Statement, ...]
    news: tuple[GroupNews, ...]
    keys: tuple[SealedGroupKey, ...]
    audit_head: bytes

    def encode(self) -> bytes:
        """Encode for the agent."""
        return cbor.encode(
            [
                _BUNDLE,
                self.request,
                statement_item(self.transport),
                [statement_item(s) for s in self.directory],
                [[n.group_id, list(n.entries)] for n in self.news],
                [[k.group_id, k.epoch, k.sealed] for k in self.keys],
                self.audit_head,
            ]
        )


def decode_bundle(data: bytes) -> RequestBundle:
    """Decode a request bundle of at most 64 MiB. Raises ``format.*``."""
    items = cbor.decode_labelled(data, _BUNDLE, 7, max_size=MAX_BUNDLE_SIZE)
    _, request, transport, directory, news, keys, audit_head = items
    return RequestBundle(
        cbor.take_bytes(request),
        take_statement(transport),
        tuple(take_statement(s) for s in cbor.take_list(directory, 0, 1000)),
        tuple(_take_news(n) for n in cbor.take_list(news, 0, 1000)),
        tuple(_take_key(k) for k in cbor.take_list(keys, 0, 100_000)),
        cbor.take_bytes(audit_head, 32),
    )


@dataclass(frozen=True, slots=True)
class GroupBundle:
    """What a member needs to follow groups: directory, log entries, its own sealed group keys."""

    directory: tuple[Statement, ...]
    news: tuple[GroupNews, ...]
    keys: tuple[SealedGroupKey, ...]

    def encode(self) -> bytes:
        """Encode for the agent."""
        return cbor.encode(
            [
                _GROUPS,
                [statement_item(s) for s in self.directory],
                [[n.group_id, list(n.entries)] for n in self.news],
                [[k.group_id, k.epoch, k.sealed] for k in self.keys],
            ]
        )


def decode_group_bundle(data: bytes) -> GroupBundle:
    """Decode a group bundle. Raises ``format.*``."""
    items = cbor.decode_labelled(data, _GROUPS, 4, max_size=MAX_BUNDLE_SIZE)
    _, directory, news, keys = items
    return GroupBundle(
        tuple(take_statement(s) for s in cbor.take_list(directory, 0, 1000)),
        tuple(_take_news(n) for n in cbor.take_list(news, 0, 1000)),
        tuple(_take_key(k) for k in cbor.take_list(keys, 0, 100_000)),
    )


def _heads_items(heads: Sequence[GroupHead]) -> list[list[Any]]:
    return [[h.group_id, h.seq, h.head] for h in heads]


def _take_heads(value: Any) -> tuple[GroupHead, ...]:
    return tuple(
        GroupHead(cbor.take_bytes(gid, 32), cbor.take_uint(seq), cbor.take_bytes(head, 32))
        for gid, seq, head in (cbor.take_list(v, 3, 3) for v in cbor.take_list(value, 0, 10_000))
    )


def _take_item(value: Any) -> RequestItem:
    core, context, header = cbor.take_list(value, 3, 3)
    return RequestItem(cbor.take_bytes(core), cbor.take_bytes(context), cbor.take_bytes(header))


def statement_item(statement: Statement) -> list[bytes]:
    """Return the array that stands for a statement."""
    return [statement.raw, statement.signature]


def take_statement(value: Any) -> Statement:
    """Read what ``statement_item`` returned. Raises ``format.malformed``."""
    raw, signature = cbor.take_list(value, 2, 2)
    return Statement(cbor.take_bytes(raw), cbor.take_bytes(signature, 64))


def _take_news(value: Any) -> GroupNews:
    group_id, entries = cbor.take_list(value, 2, 2)
    return GroupNews(
        cbor.take_bytes(group_id, 32), tuple(cbor.take_bytes(e) for e in cbor.take_list(entries))
    )


def _take_key(value: Any) -> SealedGroupKey:
    group_id, epoch, sealed = cbor.take_list(value, 3, 3)
    return SealedGroupKey(
        cbor.take_bytes(group_id, 32), cbor.take_uint(epoch), cbor.take_bytes(sealed)
    )
