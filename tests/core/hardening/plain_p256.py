"""A second implementation of P-256 and RFC 9380 for the tests, sharing no line with the first.

Projective nowhere, fast nowhere: affine integers, double-and-add, and the map in the form of RFC
9380 appendix F.2 (with sqrt_ratio), where the first follows section 6.6.2.
"""

from __future__ import annotations

import hashlib

PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
COEFFICIENT = PRIME - 3
CONSTANT = 41058363725152142129326129780047268409114441015993725554835256314039467401291
ORDER = 115792089210356248762697446949407573529996955224135760342422259061068512044369
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
MINUS_Z_ROOT = pow(10, (PRIME + 1) // 4, PRIME)
"""A square root of -Z = 10: c2 of appendix F.2.1.2."""

Affine = tuple[int, int] | None


def plus(one: Affine, other: Affine) -> Affine:
    if one is None or other is None:
        return one or other
    if one[0] == other[0]:
        if one != other or one[1] == 0:
            return None
        rise, run = 3 * one[0] ** 2 + COEFFICIENT, 2 * one[1]
    else:
        rise, run = other[1] - one[1], other[0] - one[0]
    gradient = rise * pow(run, PRIME - 2, PRIME) % PRIME
    x = (gradient**2 - one[0] - other[0]) % PRIME
    return x, (gradient * (one[0] - x) - one[1]) % PRIME


def times(scalar: int, point: Affine) -> Affine:
    total: Affine = None
    for digit in bin(scalar % ORDER)[2:]:
        total = plus(total, total)
        if digit == "1":
            total = plus(total, point)
    return total


def hashed(message: bytes, tag: bytes) -> Affine:
    """hash_to_curve for P256_XMD:SHA-256_SSWU_RO_."""
    pieces = spread(message, tag, 96)
    one, other = (int.from_bytes(piece, "big") % PRIME for piece in (pieces[:48], pieces[48:]))
    return plus(mapped(one), mapped(other))


def spread(message: bytes, tag: bytes, size: int) -> bytes:
    ending = tag + bytes([len(tag)])
    zeroth = hashlib.sha256(b"\0" * 64 + message + bytes([size >> 8, size & 255, 0]) + ending)
    blocks = [hashlib.sha256(zeroth.digest() + b"\1" + ending).digest()]
    while 32 * len(blocks) < size:
        mix = int.from_bytes(zeroth.digest(), "big") ^ int.from_bytes(blocks[-1], "big")
        number = bytes([len(blocks) + 1])
        blocks.append(hashlib.sha256(mix.to_bytes(32, "big") + number + ending).digest())
    return b"".join(blocks)[:size]


def mapped(u: int) -> Affine:
    """Appendix F.2, step by step."""
    z = PRIME - 10
    tv1 = z * u * u % PRIME
    tv2 = (tv1 * tv1 + tv1) % PRIME
    tv3 = CONSTANT * (tv2 + 1) % PRIME
    tv4 = COEFFICIENT * (z if tv2 == 0 else -tv2) % PRIME
    numerator = (tv3**3 + COEFFICIENT * tv3 * tv4**2 + CONSTANT * tv4**3) % PRIME
    is_square, y1 = ratio_root(numerator, pow(tv4, 3, PRIME))
    x = tv3 if is_square else tv1 * tv3 % PRIME
    y = y1 if is_square else tv1 * u * y1 % PRIME
    if u % 2 != y % 2:
        y = -y % PRIME
    return x * pow(tv4, PRIME - 2, PRIME) % PRIME, y


def ratio_root(u: int, v: int) -> tuple[bool, int]:
    """Appendix F.2.1.2: sqrt_ratio for a prime that is 3 modulo 4."""
    tv1, tv2 = v * v % PRIME, u * v % PRIME
    y1 = pow(tv1 * tv2, (PRIME - 3) // 4, PRIME) * tv2 % PRIME
    if y1 * y1 * v % PRIME == u:
        return True, y1
    return False, y1 * MINUS_Z_ROOT % PRIME
