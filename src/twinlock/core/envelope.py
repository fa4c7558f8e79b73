"""The envelope's bytes: an immutable core, a rotating lock header, O, and encrypted fields.

Parses and marshals only; locks.py, segments.py and sealing.py hold the cryptography. Embedded
structures stay byte strings, so nothing is ever re-encoded (SPEC, Envelope).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import Kem
from twinlock.errors import DataError

MAX_VALUE_SIZE: Final = 16 << 20
"""Largest self-contained value or cell in bytes; larger content goes into a sealed file."""

MAX_HEAD_SIZE: Final = 192 << 10
"""Room for 16 locks of 8 shares each with the largest KEM (128 x 1,255 bytes)."""

CONTENT_AES256_GCM_16K: Final = 1
"""Content suite 1: AES-256-GCM in segments of 16 KiB, 32 zero bytes first."""

ADOPTED_AES256_GCM: Final = 2
"""Content suite 2: ciphertext of the time before Twinlock, in one AES-256-GCM call."""

_CORE: Final = "twinlock/v1/core"
_VALUE_MAGIC: Final = b"TWL\x01"
_ROW_MAGIC: Final = b"TWH\x01"
_CELL_MAGIC: Final = b"TWC\x01"
_SUITES: Final = {int(suite): suite for suite in OuterSuite}
_KEMS: Final = {int(kem): kem for kem in Kem}


class Layout(IntEnum):
    """How DEK and content lie together."""

    VALUE = 1
    ROW = 2
    FILE = 3
    ADOPTED = 4

    @property
    def content_suite(self) -> int:
        """The one content suite that lies in this layout."""
        return ADOPTED_AES256_GCM if self is Layout.ADOPTED else CONTENT_AES256_GCM_16K


_CONTENT_SUITES: Final = frozenset(layout.content_suite for layout in Layout)
_LAYOUTS: Final = {int(layout): layout for layout in Layout}


@dataclass(frozen=True, slots=True)
class Core:
    """The immutable part: bound into the locks, O, every segment and the writer's signature."""

    dek_id: bytes
    layout: Layout
    writer_kid: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class GroupLock:
    """One way in: the release key sealed to one group's key of one epoch."""

    group_id: bytes
    epoch: int
    kem: Kem
    sealed: bytes


@dataclass(frozen=True, slots=True)
class ShareLock:
    """One XOR share of the release key, sealed to one group; ``commitment`` names a wrong share."""

    group_id: bytes
    epoch: int
    kem: Kem
    sealed: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True)
class AllLock:
    """One way in that needs every one of 2..8 groups."""

    shares: tuple[ShareLock, ...]


Lock = GroupLock | AllLock


@dataclass(frozen=True, slots=True)
class LockHeader:
    """The rotating part. ``commitment`` is rc, the release key's HMAC."""

    commitment: bytes
    outer_suite: OuterSuite
    wrapping_kid: bytes
    locks: tuple[Lock, ...]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Everything that opens a DEK: core, lock header and O."""

    core: Core
    header: LockHeader
    outer: bytes


@dataclass(frozen=True, slots=True)
class Field:
    """One encrypted value: nonce prefix, all segments' ciphertext, the writer's signature."""

    prefix: bytes
    ciphertext: bytes
    signature: bytes


def new_core(dek_id: bytes, layout: Layout, writer_kid: bytes) -> Core:
    """Make a core for fresh content."""
    raw = cbor.encode([_CORE, layout.content_suite, dek_id, int(layout), writer_kid])
    return Core(dek_id, layout, writer_kid, raw)


def decode_core(raw: bytes) -> Core:
    """Decode a core.

    Raises ``format.*``, also for a content suite that does not lie in this layout, and
    ``suite.unknown`` for a foreign one.
    """
    _, suite, dek_id, layout, writer_kid = cbor.decode_labelled(raw, _CORE, 5, max_size=256)
    if cbor.take_uint(suite) not in _CONTENT_SUITES:
        raise _unknown("content suite", suite)
    if cbor.take_uint(layout) not in _LAYOUTS:
        raise _unknown("layout", layout)
    if suite != _LAYOUTS[layout].content_suite:
        raise cbor.malformed("its content suite does not lie in its layout")
    return Core(cbor.take_bytes(dek_id, 16), _LAYOUTS[layout], cbor.take_bytes(writer_kid, 16), raw)


def new_header(
    commitment: bytes, suite: OuterSuite, wrapping_kid: bytes, locks: tuple[Lock, ...]
) -> LockHeader:
    """Make and encode a lock header."""
    raw = cbor.encode([commitment, int(suite), wrapping_kid, [_encode_lock(x) for x in locks]])
    return LockHeader(commitment, suite, wrapping_kid, locks, raw)


def decode_header(raw: bytes) -> LockHeader:
    """Decode a lock header of 1..16 locks. Raises ``format.*`` or ``suite.unknown``."""
    value = cbor.decode(raw, max_size=MAX_HEAD_SIZE)
    if len(value) != 4:
        raise cbor.malformed("a lock header has 4 items")
    commitment, suite, wrapping_kid, locks = value
    return LockHeader(
        cbor.take_bytes(commitment, 32),
        _take_suite(suite),
        cbor.take_bytes(wrapping_kid, 16),
        tuple(_decode_lock(lock) for lock in cbor.take_list(locks, 1, 16)),
        raw,
    )


def encode_value(head: Head, field: Field) -> bytes:
    """Encode a self-contained value."""
    return _VALUE_MAGIC + cbor.encode([*head_items(head), *_field_items(field)])


def decode_value(data: bytes) -> tuple[Head, Field]:
    """Decode a self-contained value. Raises ``format.*`` or ``suite.unknown``."""
    items = decode_magic(data, _VALUE_MAGIC, 6, MAX_VALUE_SIZE + MAX_HEAD_SIZE)
    head = take_head(items[:3], Layout.VALUE)
    return head, _take_field(items[3:])


def encode_row_head(head: Head) -> bytes:
    """Encode the wrapped DEK of a row."""
    return _ROW_MAGIC + cbor.encode(head_items(head))


def decode_row_head(data: bytes) -> Head:
    """Decode the wrapped DEK of a row. Raises ``format.*`` or ``suite.unknown``."""
    return take_head(decode_magic(data, _ROW_MAGIC, 3, MAX_HEAD_SIZE), Layout.ROW)


def encode_cell(head: Head, field: Field) -> bytes:
    """Encode one column's value beside the row's wrapped DEK."""
    return _CELL_MAGIC + cbor.encode([head.core.dek_id, *_field_items(field)])


def decode_cell(data: bytes, head: Head) -> Field:
    """Decode one column's value; it must name the row's DEK. Raises ``format.*``."""
    items = decode_magic(data, _CELL_MAGIC, 4, MAX_VALUE_SIZE + MAX_HEAD_SIZE)
    if items[0] != head.core.dek_id:
        raise cbor.malformed("this column's value belongs to another wrapped DEK")
    return _take_field(items[1:])


def encode_file_head(head: Head, prefix: bytes) -> bytes:
    """Encode what stands, length-prefixed, in front of a sealed file's segments."""
    return cbor.encode([*head_items(head), prefix])


def decode_file_head(data: bytes) -> tuple[Head, bytes]:
    """Decode a sealed file's head; returns it and the nonce prefix. Raises ``format.*``."""
    items = cbor.decode(data, max_size=MAX_HEAD_SIZE)
    if len(items) != 4:
        raise cbor.malformed("a sealed file's head has 4 items")
    return take_head(items[:3], Layout.FILE), cbor.take_bytes(items[3], 7)


def head_items(head: Head) -> list[Any]:
    """Return the three items with which everything that holds a wrapped DEK begins."""
    return [head.core.raw, head.header.raw, head.outer]


def _field_items(field: Field) -> list[Any]:
    return [field.prefix, field.ciphertext, field.signature]


def decode_magic(data: bytes, magic: bytes, length: int, max_size: int) -> list[Any]:
    """Decode the array of ``length`` items behind 4 bytes of magic and version.

    Raises ``format.*``, and ``suite.unknown`` for another version.
    """
    if data[:3] == magic[:3] and data[3:4] != magic[3:]:
        raise _unknown("envelope version", data[3] if len(data) > 3 else "none")
    if data[:4] != magic:
        raise cbor.malformed("it does not begin like a sealed value of this kind")
    items = cbor.decode(data[4:], max_size=max_size)
    if len(items) != length:
        raise cbor.malformed(f"a sealed value of this kind has {length} items")
    return items


def take_head(items: list[Any], layout: Layout) -> Head:
    """Read what ``head_items`` returned, of this layout. Raises ``format.*``, ``suite.unknown``."""
    core = decode_core(cbor.take_bytes(items[0]))
    if core.layout is not layout:
        raise cbor.malformed("its layout is another one")
    outer = cbor.take_bytes(items[2])
    if not 60 <= len(outer) <= 1024:
        raise cbor.malformed("its outer lock has an impossible length")
    return Head(core, decode_header(cbor.take_bytes(items[1])), outer)


def _take_field(items: list[Any]) -> Field:
    prefix, ciphertext, signature = items
    return Field(
        cbor.take_bytes(prefix, 7), cbor.take_bytes(ciphertext), cbor.take_bytes(signature, 64)
    )


def _encode_lock(lock: Lock) -> list[Any]:
    if isinstance(lock, GroupLock):
        return ["group", lock.group_id, lock.epoch, int(lock.kem), lock.sealed]
    return [
        "all",
        [["share", s.group_id, s.epoch, int(s.kem), s.sealed, s.commitment] for s in lock.shares],
    ]


def encode_lock(lock: Lock) -> bytes:
    """Encode one lock alone; a release names the lock that it opened by this encoding's SHA-256."""
    return cbor.encode(_encode_lock(lock))


def _decode_lock(value: Any) -> Lock:
    match value:
        case ["group", group_id, epoch, kem, sealed]:
            return GroupLock(
                cbor.take_bytes(group_id, 32),
                cbor.take_uint(epoch),
                _take_kem(kem),
                _take_sealed(sealed),
            )
        case ["all", [*shares]] if 2 <= len(shares) <= 8:
            return AllLock(tuple(_decode_share(share) for share in shares))
        case [str(kind), *_] if kind not in ("group", "all"):
            raise _unknown("kind of lock", kind[:32])
        case _:
            raise cbor.malformed("one of its locks has another shape")


def _decode_share(value: Any) -> ShareLock:
    match value:
        case ["share", group_id, epoch, kem, sealed, commitment]:
            return ShareLock(
                cbor.take_bytes(group_id, 32),
                cbor.take_uint(epoch),
                _take_kem(kem),
                _take_sealed(sealed),
                cbor.take_bytes(commitment, 32),
            )
        case _:
            raise cbor.malformed("one of its shares has another shape")


def _take_sealed(value: Any) -> bytes:
    sealed = cbor.take_bytes(value)
    if not 64 <= len(sealed) <= 2048:
        raise cbor.malformed("one of its locks has an impossible length")
    return sealed


def _take_suite(value: Any) -> OuterSuite:
    suite = _SUITES.get(cbor.take_uint(value))
    if suite is None:
        raise _unknown("outer suite", value)
    return suite


def _take_kem(value: Any) -> Kem:
    kem = _KEMS.get(cbor.take_uint(value))
    if kem is None:
        raise _unknown("KEM", value)
    return kem


def _unknown(what: str, value: object) -> DataError:
    return DataError(
        "suite.unknown",
        f"This value uses the {what} {value!r}, which this version does not know.",
        hint="Upgrade Twinlock, or restore the row if nobody uses a newer version.",
    )
