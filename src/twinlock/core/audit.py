"""The audit chain: one line per release, committed before anything is opened.

Complete only while the server is honest; so every release also carries the member's own counter,
its previous release and the last audit head it saw. A chain alone does not show that its end was
cut off or that its last line was edited: the signed heads do, so a reader passes them to
``walk_chain``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from twinlock.core import cbor
from twinlock.core.primitives import sha256
from twinlock.errors import DataError

GENESIS: Final = bytes(32)
_LINE: Final = "twinlock/v1/audit"
_HEAD: Final = "twinlock/v1/audit-head"
_MAX_LINE: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line. ``release`` is the signed release as received; ``outcome`` a short word."""

    seq: int
    previous: bytes
    time: int
    request_digest: bytes
    release: bytes
    outcome: str

    def encode(self) -> bytes:
        """Encode; the line's hash is SHA-256 of this."""
        return cbor.encode(
            [
                _LINE,
                self.seq,
                self.previous,
                self.time,
                self.request_digest,
                self.release,
                self.outcome,
            ]
        )


def line_hash(raw: bytes) -> bytes:
    """Return the hash that the next line names."""
    return sha256(raw)


def decode_line(raw: bytes) -> AuditLine:
    """Decode a line. Raises ``format.*``."""
    _, seq, prev, time, digest, release, outcome = cbor.decode_labelled(
        raw, _LINE, 7, max_size=_MAX_LINE
    )
    return AuditLine(
        cbor.take_uint(seq),
        cbor.take_bytes(prev, 32),
        cbor.take_uint(time),
        cbor.take_bytes(digest, 32),
        cbor.take_bytes(release),
        cbor.take_text(outcome),
    )


def head_statement(deployment_id: bytes, seq: int, line: bytes, time: int) -> bytes:
    """Return what the audit key signs: line ``seq`` has the hash ``line``."""
    return cbor.encode([_HEAD, deployment_id, seq, line, time])


@dataclass(frozen=True, slots=True)
class AuditHead:
    """What the audit key states: line ``seq`` has the hash ``line``, and so has all before it."""

    deployment_id: bytes
    seq: int
    line: bytes
    time: int


def decode_head(raw: bytes) -> AuditHead:
    """Decode a head statement whose signature was checked. Raises ``format.*``."""
    _, deployment, seq, line, time = cbor.decode_labelled(raw, _HEAD, 5, max_size=256)
    return AuditHead(
        cbor.take_bytes(deployment, 16),
        cbor.take_uint(seq),
        cbor.take_bytes(line, 32),
        cbor.take_uint(time),
    )


def walk_chain(
    lines: Iterable[bytes],
    *,
    first_seq: int = 0,
    previous: bytes = GENESIS,
    heads: Mapping[int, bytes] = MappingProxyType({}),
) -> Iterable[tuple[AuditLine, bytes]]:
    """Yield each (line, hash), checking number and link of every one.

    ``heads`` maps line numbers to the hashes that the audit key signed. Raises DataError
    ``audit.broken`` that names the first line which does not follow (an edited, deleted, inserted
    or reordered line shows as this one or the next), or ``audit.truncated`` that names the first
    line which is missing at the end.
    """
    expected = first_seq
    for raw in lines:
        line = _decode_at(raw, expected)
        if line.seq != expected or line.previous != previous:
            raise _broken(expected)
        previous = line_hash(raw)
        if heads.get(expected, previous) != previous:
            raise _broken(expected)
        yield line, previous
        expected += 1
    if any(seq >= expected for seq in heads):
        raise DataError(
            "audit.truncated",
            f"The audit log ends before line {expected}, which a signed head promises.",
            hint="Restore the missing lines from a backup of the audit log.",
        )


def _decode_at(raw: bytes, expected: int) -> AuditLine:
    try:
        return decode_line(raw)
    except DataError as error:
        raise _broken(expected) from error


def _broken(seq: int) -> DataError:
    return DataError(
        "audit.broken",
        f"Audit line {seq} does not follow the one before: "
        "a line was edited, deleted, inserted or reordered here.",
        hint="Compare with a backup of the audit log from before.",
    )
