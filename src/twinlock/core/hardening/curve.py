"""P-256 in affine integers: the little that an ECDH interface does not give (SEC 1 section 2.2.1).

Scalars are multiplied by OpenSSL (``primitives.AgreementKey``). What is left is one addition of two
points and the way from an x-coordinate back to a point. Python's integers take a time that depends
on their values: docs/limitations.md says what that means.
"""

from __future__ import annotations

from typing import Final

from twinlock.errors import DataError

P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
A: Final = -3
B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
COORDINATE_SIZE: Final = 32
POINT_SIZE: Final = 1 + 2 * COORDINATE_SIZE

Point = tuple[int, int]
"""Affine coordinates, each from 0 to P - 1. The point at infinity has none."""


def decode_point(raw: bytes) -> Point:
    """Return the point of an uncompressed encoding: 65 bytes, 04, both coordinates below P.

    P-256 has cofactor 1, so that being on the curve is all there is to check. Raises DataError
    ``key.malformed``.
    """
    if len(raw) != POINT_SIZE or raw[0] != 4:
        raise _malformed("its encoding is not that of an uncompressed point")
    x, y = _number(raw[1:33]), _number(raw[33:])
    if x >= P or y >= P or (y * y - cubic(x)) % P:
        raise _malformed("it is not on the curve")
    return x, y


def encode_point(point: Point) -> bytes:
    """Return the uncompressed encoding, 65 bytes."""
    return b"\x04" + encode_coordinate(point[0]) + encode_coordinate(point[1])


def encode_coordinate(value: int) -> bytes:
    """Return a coordinate as 32 bytes, big-endian."""
    return value.to_bytes(COORDINATE_SIZE, "big")


def lift(x: bytes) -> Point:
    """Return the point with this x-coordinate (32 bytes) whose y is even.

    Raises DataError ``key.malformed`` when x is not below P or no point has it.
    """
    value = _number(x)
    if len(x) != COORDINATE_SIZE or value >= P:
        raise _malformed("it is no coordinate")
    root = square_root(cubic(value))
    if root is None:
        raise _malformed("no point has this coordinate")
    return even((value, root))


def even(point: Point) -> Point:
    """Return the one of ``point`` and its negative whose y is even."""
    x, y = point
    return (x, P - y) if y % 2 else point


def negative(point: Point) -> Point:
    """Return the point with the same x-coordinate on the other side."""
    return point[0], -point[1] % P


def add(left: Point, right: Point) -> Point | None:
    """Return left + right, None for the point at infinity."""
    (x1, y1), (x2, y2) = left, right
    if x1 == x2:
        if (y1 + y2) % P == 0:
            return None
        slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def cubic(x: int) -> int:
    """Return x^3 - 3x + b, which is y^2 where x belongs to a point."""
    return (x * x * x + A * x + B) % P


def square_root(value: int) -> int | None:
    """Return a square root modulo P, None where there is none. P is 3 modulo 4."""
    root = pow(value, (P + 1) // 4, P)
    return root if root * root % P == value % P else None


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _malformed(why: str) -> DataError:
    return DataError(
        "key.malformed",
        f"This is not a point of P-256: {why}.",
        hint="Ask for it to be sent again.",
    )
