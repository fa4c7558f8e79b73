"""hash_to_curve of RFC 9380 for the suite P256_XMD:SHA-256_SSWU_RO_ (section 8.2).

The suite's cofactor is 1, so that clearing it is nothing.
"""

from __future__ import annotations

import hashlib
from typing import Final

from twinlock.core.hardening.curve import A, B, P, Point, add, cubic, square_root
from twinlock.errors import CallerError

_Z: Final = -10
_FIELD_BYTES: Final = 48
"""L: ceil((256 + 128) / 8)."""
_HASH_BYTES: Final = 32
_BLOCK_BYTES: Final = 64


def hash_to_curve(message: bytes, dst: bytes) -> Point:
    """Hash a message to a point whose discrete logarithm nobody knows (section 3).

    ``dst`` is the domain separation tag, 1 to 255 bytes. Raises CallerError ``key.underivable``
    where the two halves cancel out, which no message is known to do.
    """
    first, second = hash_to_field(message, dst)
    point = add(map_to_curve(first), map_to_curve(second))
    if point is None:
        raise CallerError(
            "key.underivable",
            "No point can be derived from this message.",
            hint="Choose another salt.",
        )
    return point


def hash_to_field(message: bytes, dst: bytes) -> tuple[int, int]:
    """Return two uniform field elements (section 5.2 with m = 1, count = 2)."""
    uniform = expand_message(message, dst, 2 * _FIELD_BYTES)
    first, second = uniform[:_FIELD_BYTES], uniform[_FIELD_BYTES:]
    return int.from_bytes(first, "big") % P, int.from_bytes(second, "big") % P


def expand_message(message: bytes, dst: bytes, length: int) -> bytes:
    """Return ``length`` uniform bytes: expand_message_xmd with SHA-256 (section 5.3.1)."""
    suffix = dst + len(dst).to_bytes(1, "big")
    start = _sha256(bytes(_BLOCK_BYTES) + message + length.to_bytes(2, "big") + b"\x00" + suffix)
    block = _sha256(start + b"\x01" + suffix)
    uniform = block
    for index in range(2, -(-length // _HASH_BYTES) + 1):
        mixed = bytes(a ^ b for a, b in zip(start, block, strict=True))
        block = _sha256(mixed + index.to_bytes(1, "big") + suffix)
        uniform += block
    return uniform[:length]


def map_to_curve(u: int) -> Point:
    """Map a field element to a point: simplified SWU (section 6.6.2)."""
    squared = _Z * u * u % P
    denominator = (squared * squared + squared) % P
    # 0 has no inverse: the first candidate has a form of its own there.
    factor = 1 + pow(denominator, -1, P) if denominator else -pow(_Z, -1, P)
    x1 = -B * pow(A, -1, P) * factor % P
    x2 = squared * x1 % P
    # Both are computed for every u; where the first is no square, the second is (section 6.6.2).
    root1, root2 = square_root(cubic(x1)), square_root(cubic(x2))
    x, y = (x1, root1) if root1 is not None else (x2, root2 or 0)
    return (x, y) if y % 2 == u % 2 else (x, -y % P)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
