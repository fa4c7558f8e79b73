"""R-VEC-2 for hardened passwords: what is sent, accepted and put out, from docs/spec.md alone."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import cbor2
import pytest

from tests.core.hardening import plain_p256 as plain
from vectors.form import OK, load_all

TAG = b"TWINLOCK-V1-PW-P256_XMD:SHA-256_SSWU_RO_"
VECTORS = [vector for vector in load_all() if vector.operation == "accept-evaluation"]


class RefusedError(Exception):
    """The answers are not accepted."""


def from_x(raw: bytes) -> tuple[int, int]:
    """The point with an even y."""
    x = int.from_bytes(raw, "big")
    if len(raw) != 32 or x >= plain.PRIME:
        raise RefusedError("no coordinate")
    square = (x**3 + plain.COEFFICIENT * x + plain.CONSTANT) % plain.PRIME
    y = pow(square, (plain.PRIME + 1) // 4, plain.PRIME)
    if y * y % plain.PRIME != square:
        raise RefusedError("no point")
    return with_even_y((x, y))


def with_even_y(point: tuple[int, int]) -> tuple[int, int]:
    return point if point[1] % 2 == 0 else (point[0], plain.PRIME - point[1])


def raw(point: tuple[int, int]) -> bytes:
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def evaluated(given: dict[str, Any]) -> dict[str, Any]:
    def of(name: str) -> bytes:
        return bytes.fromhex(given[name])

    r, t, s = (int(given[name], 16) for name in "rts")
    ids = [of("deployment"), of("member"), of("enrolment"), of("kid")]
    # What cbor2 gives for these is deterministic already (RFC 8949 section 4.2.1).
    point = plain.hashed(cbor2.dumps(["twinlock/v1/pw", *ids, of("stretched")]), TAG)
    multiplied = with_even_y(plain.times(t, point))
    masked = plain.plus(multiplied, plain.times(s, plain.GENERATOR))
    sent = [raw(with_even_y(plain.times(r, point))), raw(with_even_y(masked))]
    answers = [bytes.fromhex(answer) for answer in given["answers"]]
    if given["swapped"]:
        sent, answers = sent[::-1], answers[::-1]
    inverse = pow(r, plain.ORDER - 2, plain.ORDER)
    unblinded = plain.times(inverse, from_x(answers[0]))
    public = of("public")
    pinned = int.from_bytes(public[1:33], "big"), int.from_bytes(public[33:], "big")
    masking = plain.times(s, pinned)
    fitting = [
        plain.plus(plain.times(scalar, unblinded), masking) for scalar in (t, plain.ORDER - t)
    ]
    if answers[1] not in [found[0].to_bytes(32, "big") for found in fitting if found]:
        raise RefusedError("another key")
    salt = hashlib.sha256(cbor2.dumps(["twinlock/v1/pw-out", *ids, public])).digest()
    material = unblinded[0].to_bytes(32, "big") + of("stretched")
    return {
        "point": raw(point).hex(),
        "sent": [one.hex() for one in sent],
        "output": hmac.digest(salt, material, "sha256").hex(),
    }


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_the_second_implementation_agrees(vector) -> None:
    """R-VEC-2, R-HARD-3."""
    if vector.expect == OK:
        assert evaluated(vector.given) == vector.output
    else:
        with pytest.raises(RefusedError):
            evaluated(vector.given)
