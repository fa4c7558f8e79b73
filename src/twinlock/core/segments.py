"""Content in segments, in the manner of STREAM (Hoang, Reyhanitabar, Rogaway, Vizar 2015).

A value is cut into segments of 16 KiB, because some HSMs take no more in one call. Every segment's
nonce is 7 random bytes || number (4) || last (1), so none can be dropped, repeated or reordered.
32 zero bytes in front of the first make AES-GCM key-committing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from twinlock.core import cbor
from twinlock.core.ports import Part
from twinlock.core.primitives import TAG_SIZE, sha256
from twinlock.errors import not_authentic

SEGMENT_SIZE: Final = 16 << 10
"""Plaintext bytes of a full segment; the first holds the 32 zero bytes too."""

COMMITMENT: Final = bytes(32)
PREFIX_SIZE: Final = 7
MAX_PARTS: Final = 2**32 - 1

_AAD: Final = "twinlock/v1/data"
_SIGNED: Final = "twinlock/v1/data-sig"


def nonce(prefix: bytes, part: int, last: bool) -> bytes:
    """Return the 12-byte nonce of one segment."""
    return prefix + part.to_bytes(4, "big") + (b"\x01" if last else b"\x00")


def additional_data(core: bytes, context: bytes, column: str, part: int, last: bool) -> bytes:
    """Return aad_data of one segment."""
    return cbor.encode([_AAD, core, context, column, part, last])


def signed_data(
    writer_kid: bytes, core: bytes, context: bytes, column: str, parts: int, digest: bytes
) -> bytes:
    """Return what the writer signs; ``digest`` is SHA-256(prefix || all segments' ciphertext)."""
    return cbor.encode([_SIGNED, writer_kid, core, context, column, parts, digest])


def content_digest(prefix: bytes, ciphertext: bytes) -> bytes:
    """Return the digest for ``signed_data`` of a value held in memory."""
    return sha256(prefix, ciphertext)


def count_parts(ciphertext_size: int) -> int:
    """Return how many segments a ciphertext of this size has; every size has one cutting only."""
    full = SEGMENT_SIZE + TAG_SIZE
    parts, rest = divmod(ciphertext_size, full)
    if rest:
        parts += 1
    smallest = TAG_SIZE + (len(COMMITMENT) if parts == 1 else 1)
    if parts == 0 or parts > MAX_PARTS or (rest and rest < smallest):
        raise cbor.malformed("its ciphertext has an impossible length")
    return parts


def cut_plaintext(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield (segment, last) of the commitment followed by ``chunks``, in constant memory."""
    buffer = bytearray(COMMITMENT)
    for chunk in chunks:
        buffer += chunk
        start = 0
        while len(buffer) - start > SEGMENT_SIZE:
            yield bytes(buffer[start : start + SEGMENT_SIZE]), False
            start += SEGMENT_SIZE
        if start:
            del buffer[:start]
    yield bytes(buffer), True


def cut_ciphertext(
    core: bytes, context: bytes, column: str, prefix: bytes, ciphertext: bytes
) -> list[Part]:
    """Cut a value's ciphertext into the segments that the token decrypts."""
    parts = count_parts(len(ciphertext))
    full = SEGMENT_SIZE + TAG_SIZE
    return [
        Part(
            nonce(prefix, part, part == parts - 1),
            ciphertext[part * full : (part + 1) * full],
            additional_data(core, context, column, part, part == parts - 1),
        )
        for part in range(parts)
    ]


def strip_commitment(plaintext: bytes) -> bytes:
    """Check and remove the 32 zero bytes. Raises ``data.not-authentic``."""
    if plaintext[:32] != COMMITMENT:
        raise not_authentic("content: the zero bytes in front are missing")
    return plaintext[32:]
