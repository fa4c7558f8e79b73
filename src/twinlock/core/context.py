"""The context of a ciphertext: what it belongs to.

It is computed by the reader from what it asked for and never read from the row, so a value that
was moved to another row, column, table or tenant does not open.
"""

from __future__ import annotations

import unicodedata
import uuid
from dataclasses import dataclass

from twinlock.core import cbor
from twinlock.errors import CallerError

ROW_SCOPE = "*row"
"""The scope of a DEK that several columns of one row share."""

MAX_ENCODED_SIZE = 8192
"""A context is shown to a person; one that agents refuse is refused when sealing already."""

_LABEL = "twinlock/v1/ctx"

RecordId = str | int | bytes | uuid.UUID | tuple["RecordId", ...]
"""A primary key. Its canonical bytes depend on its type, so a table keeps one type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a value belongs to: names are stable declared names in NFC, not SQL identifiers.

    ``column`` is the DEK's scope; None stands for the whole row, whose columns share one DEK.
    ``version`` (0..2^63-1) also binds the row's state: without it, an older genuine value can be
    put back. ``purpose`` is a fixed label of use, empty by default.
    """

    table: str
    record: RecordId
    column: str | None = None
    version: int | None = None
    tenant: str = ""
    purpose: str = ""

    def __post_init__(self) -> None:
        if not self.table or self.column == "":
            raise CallerError(
                "context.incomplete",
                "A context needs a table, and a column that is not empty.",
                hint="Give the table, the column and the record that the value belongs to.",
            )
        if self.column == ROW_SCOPE:
            raise CallerError(
                "context.reserved", f"{ROW_SCOPE!r} is not a column.", hint="Name the column."
            )
        for name in ("table", "column", "tenant", "purpose"):
            require_nfc(name, getattr(self, name) or "")
        if self.version is not None and not _is_version(self.version):
            raise CallerError(
                "context.version", "A record version is a number from 0 up.", hint="Count from 1."
            )
        record_bytes(self.record)

    def encode(self, deployment_id: bytes) -> bytes:
        """Return the deterministic encoding. Raises CallerError ``context.too-large``."""
        raw = cbor.encode(
            [
                _LABEL,
                deployment_id,
                self.tenant,
                self.table,
                record_bytes(self.record),
                ROW_SCOPE if self.column is None else self.column,
                self.purpose,
                self.version,
            ]
        )
        if len(raw) > MAX_ENCODED_SIZE:
            raise CallerError(
                "context.too-large",
                f"This context has {len(raw)} bytes; agents accept {MAX_ENCODED_SIZE}.",
                hint="Use a shorter record id, for instance a hash of the long one.",
            )
        return raw


@dataclass(frozen=True, slots=True)
class ShownContext:
    """A context as an agent shows it, decoded from a request."""

    deployment_id: bytes
    tenant: str
    table: str
    record_id: bytes
    scope: str
    purpose: str
    version: int | None

    @property
    def record(self) -> str:
        """The record id for people: text, a number or UUID where it looks like one, else hex."""
        raw = self.record_id
        if len(raw) == 8 and raw[0] == 0:
            return str(int.from_bytes(raw, "big"))
        if len(raw) == 16 and not _printable(raw):
            return str(uuid.UUID(bytes=raw))
        return raw.decode() if _printable(raw) else raw.hex()


def decode_context(data: bytes) -> ShownContext:
    """Decode a context that a request carries. Raises DataError like ``cbor.decode``."""
    _, deployment_id, tenant, table, record_id, scope, purpose, version = cbor.decode_labelled(
        data, _LABEL, 8, max_size=MAX_ENCODED_SIZE
    )
    return ShownContext(
        cbor.take_bytes(deployment_id, 16),
        cbor.take_text(tenant),
        cbor.take_text(table),
        cbor.take_bytes(record_id),
        cbor.take_text(scope),
        cbor.take_text(purpose),
        None if version is None else cbor.take_uint(version),
    )


def record_bytes(record: RecordId) -> bytes:
    """Return the canonical bytes of a primary key.

    UUID: 16 bytes. Integer 0..2^64-1: 8 bytes big-endian. Text: UTF-8 of NFC. Bytes: as they are.
    Composite: CBOR array of the canonical bytes. Raises CallerError ``context.record``.
    """
    match record:
        case uuid.UUID():
            return record.bytes
        case bool():
            pass
        case int() if 0 <= record < 2**64:
            return record.to_bytes(8, "big")
        case str() if record:
            require_nfc("record", record)
            return record.encode()
        case bytes() if record:
            return record
        case tuple() if record:
            return cbor.encode([record_bytes(part) for part in record])
        case _:
            pass
    raise CallerError(
        "context.record",
        "A record id is a non-empty text, a number from 0 to 2^64-1, a UUID, bytes, or a tuple.",
        hint="Use the row's primary key.",
    )


def require_nfc(name: str, value: str) -> None:
    """Check a declared text. Raises CallerError ``context.not-nfc``."""
    if not _is_unicode(value) or not unicodedata.is_normalized("NFC", value):
        raise CallerError(
            "context.not-nfc",
            f"The {name} is not Unicode text in normalization form C.",
            hint="Normalize it where it is declared, so that every reader computes the same bytes.",
        )


def _is_unicode(value: str) -> bool:
    """A lone surrogate, as from os.fsdecode, has no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_version(value: int) -> bool:
    # True would be encoded as a boolean, which no reader takes for a version.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _printable(raw: bytes) -> bool:
    try:
        return raw.decode().isprintable()
    except UnicodeDecodeError:
        return False
