"""Hardened passwords: the points that are sent, what is accepted, and enrolments that open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twinlock.core import cbor
from twinlock.core.enrolment import enrol, member_keys
from twinlock.core.factors import Place
from twinlock.core.factors.password import PasswordFactor, password_output, password_point
from twinlock.core.hardening.curve import (
    B,
    P,
    cubic,
    decode_point,
    encode_coordinate,
    encode_point,
    square_root,
)
from twinlock.core.hardening.evaluation import BlindedPoints, blind
from twinlock.core.primitives import (
    P256_ORDER,
    AgreementKey,
    Kem,
    agreement_key,
    agreement_key_from_seed,
)
from twinlock.core.secret import Secret
from vectors.factors import SEED, WORDS, drawn
from vectors.forge import DEPLOYMENT
from vectors.form import OK, Vector
from vectors.recording import expand

PLACE = Place(DEPLOYMENT, expand("weber", 16), expand("password enrolment", 16))
KID = expand("hardening kid", 16)
STRETCHED = expand("stretched password", 32)
K_SEED = expand("hardening key", 32)
REFUSED = "factor.hardening"


def vectors() -> Iterator[Vector]:
    """Yield the family's vectors."""
    yield from _evaluations()
    yield from _points()
    yield from _enrolments()


def hardening_key() -> AgreementKey:
    """The token's key, in software."""
    return agreement_key_from_seed(Secret(K_SEED))


def factor(words: str, key: AgreementKey, public: bytes) -> PasswordFactor:
    """A password whose token is ``key``, while ``public`` is pinned."""
    return PasswordFactor(
        lambda: words,
        lambda: KID,
        lambda _kid: public,
        lambda _kid, first, second: (key.x_of(first), key.x_of(second)),
        drawn("blinding"),
    )


def _scalar(seed: str) -> bytes:
    return (int.from_bytes(expand(seed, 32), "big") % (P256_ORDER - 1) + 1).to_bytes(32, "big")


def _blinded(swapped: int) -> tuple[dict[str, Any], BlindedPoints]:
    scalars = {name: _scalar(f"blinding {name}") for name in "rts"}
    queue = iter([*scalars.values(), bytes([swapped])])
    point = password_point(PLACE, KID, Secret(STRETCHED))
    given = {
        "deployment": PLACE.deployment_id.hex(),
        "member": PLACE.member_id.hex(),
        "enrolment": PLACE.enrolment_id.hex(),
        "kid": KID.hex(),
        "stretched": STRETCHED.hex(),
        **{name: value.hex() for name, value in scalars.items()},
        "swapped": bool(swapped),
    }
    return given, blind(point, lambda _size: next(queue))


def _evaluations() -> Iterator[Vector]:
    key, other = hardening_key(), agreement_key_from_seed(Secret(expand("other key", 32)))

    def by(scalar: AgreementKey, points: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        return scalar.x_of(points[0]), scalar.x_of(points[1])

    for swapped, name in ((0, "straight"), (1, "swapped")):
        given, blinded = _blinded(swapped)
        answers = by(key, blinded.sent)
        hardened = blinded.accept(key.public, answers)
        output = password_output(PLACE, KID, key.public, hardened, Secret(STRETCHED))
        yield _evaluation(
            f"good-{name}", OK, "R-HARD-3", f"the token's own key, points {name}",
            {**given, "public": key.public.hex(), "answers": _hex(answers)},
            {
                "point": encode_point(password_point(PLACE, KID, Secret(STRETCHED))).hex(),
                "sent": _hex(blinded.sent),
                "output": output.reveal().hex(),
            },
        )  # fmt: skip
    given, blinded = _blinded(0)
    sent, good = blinded.sent, by(key, blinded.sent)
    not_square = next(x for x in map(encode_coordinate, range(99)) if not _is_x(x))
    lies: dict[str, tuple[str, bytes, tuple[bytes, bytes]]] = {
        "one": ("k = 1: the points sent back", key.public, by(agreement_key(1), sent)),
        "two": ("k = 2", key.public, by(agreement_key(2), sent)),
        "other": ("another key", key.public, by(other, sent)),
        "pinned": ("another key is pinned", other.public, good),
        "crossed": ("the answers are crossed", key.public, good[::-1]),
        "first": ("the first of another key", key.public, (other.x_of(sent[0]), good[1])),
        "second": ("the second of another key", key.public, (good[0], other.x_of(sent[1]))),
        "repeated": ("the first answer twice", key.public, (good[0], good[0])),
        "no-point": ("a coordinate that no point has", key.public, (not_square, good[1])),
        "prime": ("the prime itself", key.public, (encode_coordinate(P), good[1])),
        "short": ("31 bytes", key.public, (good[0][1:], good[1])),
        "long": ("a whole point", key.public, (b"\x04" + good[0] + good[1], good[1])),
    }
    for name, (why, public, answers) in lies.items():
        yield _evaluation(
            name, REFUSED, "R-HARD-6" if name == "pinned" else "R-HARD-5", why,
            {**given, "public": public.hex(), "answers": _hex(answers)}, None,
        )  # fmt: skip


def _evaluation(
    name: str,
    expect: str,
    requirement: str,
    why: str,
    given: dict[str, Any],
    output: dict[str, Any] | None,
) -> Vector:
    return Vector(
        f"evaluation-{name}", "accept-evaluation", expect, requirement, why, given, output
    )


def _points() -> Iterator[Vector]:
    good = agreement_key(7).public
    x, y = decode_point(good)
    cases = {
        "good": (OK, "a point", good),
        "zero": (
            OK, "x = 0 is on the curve",
            b"\x04" + bytes(32) + encode_coordinate(square_root(B) or 0),
        ),
        "infinity": ("key.malformed", "the point at infinity", b"\x00"),
        "compressed": ("key.malformed", "compressed", bytes([2 + y % 2]) + good[1:33]),
        "hybrid": ("key.malformed", "the hybrid form", bytes([6 + y % 2]) + good[1:]),
        "short": ("key.malformed", "a byte less", good[:-1]),
        "long": ("key.malformed", "a byte more", good + b"\x00"),
        "off": ("key.malformed", "not on the curve", encode_point((x, y ^ 1))),
        "prime": (
            "key.malformed", "x is the prime, which is 0 in another form",
            b"\x04" + encode_coordinate(P) + encode_coordinate(square_root(B) or 0),
        ),
    }  # fmt: skip
    for name, (expect, why, raw) in cases.items():
        yield Vector(
            f"point-{name}", "check-point", expect, "R-HARD-4", why, {"point": raw.hex()},
            {"point": raw.hex()} if expect == OK else None,
        )  # fmt: skip


def _enrolments() -> Iterator[Vector]:
    key = hardening_key()
    made = enrol(
        SEED,
        [factor(WORDS, key, key.public)],
        deployment_id=DEPLOYMENT,
        member_id=expand("weber", 16),
        kem=Kem.DHKEM_P256,
        randomness=drawn("enrolment"),
    )
    label, aad, nonce, sealed = cbor.decode(made.raw)
    head, ((kind, (kid, salt, memory, iterations, lanes)),) = (
        cbor.decode(aad)[:5], cbor.decode(aad)[5],
    )  # fmt: skip

    def with_parameters(*parameters: Any) -> bytes:
        changed = cbor.encode([*head, [[kind, list(parameters)]]])
        return cbor.encode([label, changed, nonce, sealed])

    cases = {
        "good": (OK, "R-FACTOR-8", "the password", made.raw, WORDS, K_SEED),
        "opaque": (OK, "R-FACTOR-8", "typed decomposed, with a wide space", made.raw,
                   "Zu\u0308rich,\u3000correct horse", K_SEED),
        "wrong": ("factor.wrong", "R-FACTOR-2", "another password", made.raw, "zürich", K_SEED),
        "token": (REFUSED, "R-HARD-5", "the token has another key", made.raw, WORDS,
                  expand("other key", 32)),
        "kid": ("factor.wrong", "R-FACTOR-1", "another key id",
                with_parameters(bytes(16), salt, memory, iterations, lanes), WORDS, K_SEED),
        "memory": ("factor.parameters", "R-FACTOR-8", "one KiB under the floor of memory",
                   with_parameters(kid, salt, (64 << 10) - 1, iterations, lanes), WORDS, K_SEED),
        "ceiling": ("factor.parameters", "R-FACTOR-8", "one KiB over the ceiling of memory",
                    with_parameters(kid, salt, (4 << 20) + 1, iterations, lanes), WORDS, K_SEED),
        "iterations": ("factor.parameters", "R-FACTOR-8", "one iteration under the floor",
                       with_parameters(kid, salt, memory, 2, lanes), WORDS, K_SEED),
        "salt": ("factor.parameters", "R-FACTOR-8", "a salt of 15 bytes",
                 with_parameters(kid, salt[1:], memory, iterations, lanes), WORDS, K_SEED),
        "short-kid": ("format.malformed", "R-FACTOR-8", "a key id of 15 bytes",
                      with_parameters(kid[1:], salt, memory, iterations, lanes), WORDS, K_SEED),
        "items": ("format.malformed", "R-FACTOR-8", "a parameter is missing",
                  with_parameters(kid, salt, memory, iterations), WORDS, K_SEED),
    }  # fmt: skip
    keys = member_keys(SEED)
    output = {
        "kem_public": keys.kem.public.hex(),
        "signing_public": keys.signing.public.hex(),
        "state_key": keys.state_key.reveal().hex(),
    }
    for name, (expect, requirement, why, raw, words, seed) in cases.items():
        yield Vector(
            f"password-{name}", "unlock-password", expect, requirement, why,
            {
                "enrolment": raw.hex(), "password": words,
                "pinned": key.public.hex(), "hardening_seed": seed.hex(),
            },
            output if expect == OK else None,
        )  # fmt: skip


def _hex(pair: tuple[bytes, bytes]) -> list[str]:
    return [item.hex() for item in pair]


def _is_x(raw: bytes) -> bool:
    return square_root(cubic(int.from_bytes(raw, "big"))) is not None
