"""What goes into and comes out of the store: opaque bytes under names. Blobs stay out of reprs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """One signed statement of the token directory."""

    kid: bytes
    role: str
    statement: bytes = field(repr=False)
    signature: bytes = field(repr=False)


class LogEntry(NamedTuple):
    """One entry of a membership log, with its signatures, as it was sent."""

    seq: int
    signed_entry: bytes


class LogHead(NamedTuple):
    """The last entry of a membership log; ``entry_hash`` has 32 bytes."""

    seq: int
    entry_hash: bytes


class StoredGroup(NamedTuple):
    """A group and the name it was founded under."""

    group_id: bytes
    name: str


class SealedGroupKey(NamedTuple):
    """The group key of one epoch, sealed to one member (16-byte id)."""

    epoch: int
    member_id: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class StoredMember:
    """A member: 16-byte id and unique name."""

    member_id: bytes
    name: str


@dataclass(frozen=True, slots=True)
class EnrolmentList:
    """The member's signed list of valid enrolments, and its counter."""

    counter: int
    signed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit chain and its 32-byte hash."""

    line: bytes = field(repr=False)
    line_hash: bytes


@dataclass(frozen=True, slots=True)
class StoredLine:
    """An audit line in its place."""

    seq: int
    line: bytes = field(repr=False)
    line_hash: bytes


class AuditTail(NamedTuple):
    """Where the audit chain goes on: the next number and the last line's hash (zeros at first)."""

    next_seq: int
    last_hash: bytes


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The audit key's signature over the chain up to line ``seq``."""

    seq: int
    hash: bytes
    time: int
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedRow:
    """One sealed record: ``head`` is what the cells share (core, locks), ``cells`` are by column.

    ``version`` is the record's version where its table has one. ``plain`` holds the columns that
    are not sealed, encoded by the caller.
    """

    record_id: bytes
    version: int | None
    head: bytes = field(repr=False)
    cells: Mapping[str, bytes] = field(repr=False)
    plain: bytes = field(repr=False, default=b"")
