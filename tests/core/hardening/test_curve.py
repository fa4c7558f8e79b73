"""P-256 and hash_to_curve: RFC 9380's own vectors, and a second implementation that agrees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vectors
from tests.core.hardening import plain_p256 as plain
from twinlock.core.hardening.curve import (
    COORDINATE_SIZE,
    P,
    add,
    cubic,
    decode_point,
    encode_coordinate,
    encode_point,
    lift,
    negative,
)
from twinlock.core.hardening.hash_to_curve import hash_to_curve, hash_to_field, map_to_curve
from twinlock.core.primitives import P256_ORDER, agreement_key
from twinlock.errors import DataError

RECORDED = json.loads(
    (Path(vectors.__file__).parent / "recorded" / "rfc9380-p256.json").read_text(encoding="utf-8")
)
quickly = settings(max_examples=40, deadline=None, database=None)
scalars = st.integers(1, P256_ORDER - 1)


@pytest.mark.parametrize("vector", RECORDED["vectors"], ids=lambda v: v["msg"][:16] or "empty")
def test_hashing_gives_what_the_rfc_says_at_every_step(vector) -> None:
    """R-HARD-1: RFC 9380 appendix J.1.1."""
    message, dst = vector["msg"].encode(), RECORDED["dst"].encode()
    number = {name: int(value, 16) for name, value in vector.items() if name != "msg"}
    first, second = hash_to_field(message, dst)
    assert (first, second) == (number["u[0]"], number["u[1]"])
    assert map_to_curve(first) == (number["Q0.x"], number["Q0.y"])
    assert map_to_curve(second) == (number["Q1.x"], number["Q1.y"])
    assert hash_to_curve(message, dst) == (number["P.x"], number["P.y"])
    assert plain.hashed(message, dst) == (number["P.x"], number["P.y"])


@quickly
@given(message=st.binary(max_size=300), dst=st.binary(min_size=1, max_size=255))
def test_hashing_agrees_with_the_second_implementation(message: bytes, dst: bytes) -> None:
    """R-HARD-1."""
    assert hash_to_curve(message, dst) == plain.hashed(message, dst)


EXCEPTIONAL = pow(pow(10, (P + 1) // 4, P), -1, P)
"""u with u^2 = -1/Z: there, and at 0, the map's denominator is 0."""


@pytest.mark.parametrize("u", [0, 1, 2, P - 1, EXCEPTIONAL, P - EXCEPTIONAL])
def test_the_map_agrees_where_it_is_exceptional(u: int) -> None:
    """R-HARD-1."""
    x, y = map_to_curve(u)
    assert (x, y) == plain.mapped(u)
    assert (y * y - cubic(x)) % P == 0


@quickly
@given(one=scalars, other=scalars)
def test_adding_agrees_with_the_second_implementation(one: int, other: int) -> None:
    left, right = (decode_point(agreement_key(scalar).public) for scalar in (one, other))
    assert left == plain.times(one, plain.GENERATOR)
    assert add(left, right) == plain.plus(left, right)
    assert add(left, left) == plain.times(2 * one, plain.GENERATOR)
    assert add(left, negative(left)) is None


@quickly
@given(one=scalars, other=scalars)
def test_multiplying_gives_the_x_of_the_second_implementation(one: int, other: int) -> None:
    key, point = agreement_key(one), agreement_key(other).public
    expected = plain.times(one, decode_point(point))
    assert expected is not None
    assert key.x_of(point) == encode_coordinate(expected[0])


@quickly
@given(scalar=scalars)
def test_a_coordinate_gives_the_even_one_of_its_two_points(scalar: int) -> None:
    point = decode_point(agreement_key(scalar).public)
    lifted = lift(encode_coordinate(point[0]))
    assert lifted in (point, negative(point))
    assert lifted[1] % 2 == 0


GOOD = agreement_key(7).public
BAD_POINTS = {
    "nothing": b"",
    "infinity": b"\x00",
    "compressed": b"\x02" + GOOD[1:33],
    "hybrid": b"\x06" + GOOD[1:],
    "another first byte": b"\x05" + GOOD[1:],
    "a byte more": GOOD + b"\x00",
    "a byte less": GOOD[:-1],
    "another y": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "the origin": b"\x04" + bytes(64),
    "x is P": b"\x04" + encode_coordinate(P) + encode_coordinate(pow(cubic(0), (P + 1) // 4, P)),
    "y and P": GOOD[:33] + b"\xff" * 32,
}


@pytest.mark.parametrize("case", sorted(BAD_POINTS))
def test_what_is_no_point_is_refused(case: str) -> None:
    """R-HARD-4."""
    with pytest.raises(DataError) as caught:
        decode_point(BAD_POINTS[case])
    assert caught.value.code == "key.malformed"


def test_a_point_is_encoded_as_it_was() -> None:
    assert encode_point(decode_point(GOOD)) == GOOD


def _is_square(value: int) -> bool:
    return pow(value, (P - 1) // 2, P) in (0, 1)


NO_COORDINATES = {
    "of no point": encode_coordinate(next(x for x in range(99) if not _is_square(cubic(x)))),
    "P": encode_coordinate(P),
    "the largest number": b"\xff" * COORDINATE_SIZE,
    "a byte less": bytes(COORDINATE_SIZE - 1),
    "a byte more": bytes(COORDINATE_SIZE + 1),
}


@pytest.mark.parametrize("case", sorted(NO_COORDINATES))
def test_what_is_no_coordinate_is_refused(case: str) -> None:
    """R-HARD-5."""
    with pytest.raises(DataError) as caught:
        lift(NO_COORDINATES[case])
    assert caught.value.code == "key.malformed"
