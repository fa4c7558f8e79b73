"""Adopted content: ciphertext of the time before Twinlock, under locks of Twinlock's own.

    adopted = "TWA" 01 || CBOR [core, header, O, origin, [[column, signature], ...]]

The ciphertext stays where it always was, byte for byte, in one AES-256-GCM call with a 12-byte
nonce; only its DEK got new locks. It has no zero bytes in front, so nothing in it commits to its
key: whoever knows the release key, and made the ciphertext for it before the adoption, can give it
a second meaning. Against everybody else stands the writer's signature for each column: over core
and context, and over the hash of nonce, additional data and ciphertext (SPEC Adopted data).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.envelope import (
    MAX_HEAD_SIZE,
    MAX_VALUE_SIZE,
    Head,
    Layout,
    decode_magic,
    head_items,
    take_head,
)
from twinlock.core.opening import PreparedRecord, outer_lock
from twinlock.core.ports import DekOrigin, LegacyPart
from twinlock.core.primitives import NONCE_SIZE, TAG_SIZE, SigningKey, sha256, verify
from twinlock.errors import CallerError, DataError, not_authentic

MAX_COLUMNS: Final = 256
"""Most columns of one adopted row."""

_MAGIC: Final = b"TWA\x01"
_SIGNED: Final = "twinlock/v1/adopted-sig"
_MAX_SIZE: Final = 2 * MAX_HEAD_SIZE
_ORIGINS: Final = {int(origin): origin for origin in DekOrigin}


@dataclass(frozen=True, slots=True)
class LegacyCell:
    """One ciphertext of the old application: 12-byte nonce, ciphertext || 16-byte tag, its aad.

    ``aad`` is the additional data that the old application used, empty if it used none.
    """

    nonce: bytes
    ciphertext: bytes = field(repr=False)
    aad: bytes = b""

    def part(self) -> LegacyPart:
        """Return it for the token. Raises DataError ``legacy.cell`` for what is not such a cell."""
        if len(self.nonce) != NONCE_SIZE or not TAG_SIZE <= len(self.ciphertext) <= MAX_VALUE_SIZE:
            raise DataError(
                "legacy.cell",
                f"A ciphertext with a nonce of {len(self.nonce)} bytes and {len(self.ciphertext)} "
                "bytes of content cannot be adopted as it is.",
                hint="AES-256-GCM with a 12-byte nonce and a 16-byte tag can; reseal others.",
            )
        return LegacyPart(self.nonce, self.ciphertext, self.aad)

    def digest(self) -> bytes:
        """Return SHA-256 of the array of nonce, additional data and ciphertext."""
        return sha256(cbor.encode([self.nonce, self.aad, self.ciphertext]))


@dataclass(frozen=True, slots=True)
class Adopted:
    """What adoption keeps of a row: its locks, and a signature for each column's ciphertext.

    ``origin``: whether the DEK stayed inside the token while it went from lock to lock.
    """

    head: Head
    origin: DekOrigin
    signatures: Mapping[str, bytes] = field(repr=False)


def encode_adopted(adopted: Adopted) -> bytes:
    """Return the bytes that are stored beside the row. Columns ascend by their UTF-8."""
    signed = sorted(adopted.signatures.items(), key=lambda item: item[0].encode())
    items = [*head_items(adopted.head), int(adopted.origin), [[c, s] for c, s in signed]]
    return _MAGIC + cbor.encode(items)


def decode_adopted(data: bytes) -> Adopted:
    """Read what ``encode_adopted`` returned. Raises ``format.*`` or ``suite.unknown``."""
    *head, origin, signed = decode_magic(data, _MAGIC, 5, _MAX_SIZE)
    if cbor.take_uint(origin) not in _ORIGINS:
        raise cbor.malformed("it names an unknown origin")
    pairs = [_take_signature(item) for item in cbor.take_list(signed, 1, MAX_COLUMNS)]
    columns = [column.encode() for column, _ in pairs]
    if columns != sorted(set(columns)):
        raise cbor.malformed("its columns are not in ascending order")
    return Adopted(take_head(head, Layout.ADOPTED), _ORIGINS[origin], dict(pairs))


def sign_cells(
    head: Head,
    origin: DekOrigin,
    context: bytes,
    cells: Mapping[str, LegacyCell],
    writer: SigningKey,
) -> Adopted:
    """Sign every column's ciphertext for the row of this context (row scope, encoded).

    Raises CallerError ``legacy.columns`` for none or more than 256.
    """
    if not 1 <= len(cells) <= MAX_COLUMNS:
        raise CallerError(
            "legacy.columns",
            f"A row is adopted with 1 to {MAX_COLUMNS} columns, not {len(cells)}.",
            hint="Name the columns that hold ciphertext; leave out rows that have none.",
        )
    signatures = {
        column: writer.sign(_signed_data(head, origin, context, column, cell))
        for column, cell in cells.items()
    }
    return Adopted(head, origin, signatures)


def verify_cell(
    adopted: Adopted, context: bytes, column: str, cell: LegacyCell, writer_public: bytes
) -> None:
    """Check a column's signature. Raises ``data.not-authentic``, also where there is none."""
    signature = adopted.signatures.get(column)
    if signature is None:
        raise not_authentic("adopted: this column was not signed")
    message = _signed_data(adopted.head, adopted.origin, context, column, cell)
    verify(writer_public, message, signature)


def prepare_adopted(
    adopted: Adopted, context: bytes, cells: Mapping[str, LegacyCell]
) -> PreparedRecord:
    """Make ready to open. Raises ``legacy.cell``."""
    fields = tuple((cell.part(),) for cell in cells.values())
    outer = outer_lock(adopted.head, context)
    return PreparedRecord(adopted.head, context, tuple(cells), outer, fields)


def _signed_data(
    head: Head, origin: DekOrigin, context: bytes, column: str, cell: LegacyCell
) -> bytes:
    core = head.core
    digest = cell.digest()
    return cbor.encode([_SIGNED, core.writer_kid, core.raw, context, column, int(origin), digest])


def _take_signature(value: Any) -> tuple[str, bytes]:
    column, signature = cbor.take_list(value, 2, 2)
    name = cbor.take_text(column)
    if not name:
        raise cbor.malformed("one of its columns has no name")
    return name, cbor.take_bytes(signature, 64)
