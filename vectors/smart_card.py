"""Enrolments that a smart card opens; the card's key is in software here."""

from __future__ import annotations

from collections.abc import Iterator

from twinlock.core.enrolment import enrol, member_keys
from twinlock.core.factors.smart_card import CardKey, SmartCardFactor
from twinlock.core.hardening.curve import decode_point, encode_point
from twinlock.core.primitives import AgreementKey, Kem, agreement_key_from_seed
from twinlock.core.secret import Secret
from vectors.factors import SEED, drawn
from vectors.forge import DEPLOYMENT
from vectors.form import OK, Vector
from vectors.recording import expand
from vectors.rewriting import rewriting

CARD_SEED = expand("smart card", 32)
KEY_ID = expand("smart card key id", 16)


def card(seed: bytes) -> AgreementKey:
    """A card's key, in software."""
    return agreement_key_from_seed(Secret(seed))


def factor(seed: bytes) -> SmartCardFactor:
    """The factor of a card that has the key of ``seed`` and computes whatever it is asked."""
    key = card(seed)
    return SmartCardFactor(
        lambda: CardKey(KEY_ID, key.public), lambda _key, point: Secret(key.x_of(point))
    )


def vectors() -> Iterator[Vector]:
    """Yield the family's vectors."""
    made = enrol(
        SEED,
        [factor(CARD_SEED)],
        deployment_id=DEPLOYMENT,
        member_id=expand("weber", 16),
        kem=Kem.DHKEM_P256,
        randomness=drawn("card enrolment"),
    )
    (key_id, public, point), with_parameters = rewriting(made.raw)

    x, y = decode_point(point)
    off, other = encode_point((x, y ^ 1)), card(expand("another card", 32)).public
    cases = {
        "good": (OK, "R-FACTOR-10", "the card", made.raw, CARD_SEED),
        "wrong": (
            "factor.wrong", "R-FACTOR-2", "another card that says nothing", made.raw,
            expand("another card", 32),
        ),
        "point": (
            "factor.wrong", "R-FACTOR-1", "another point of the curve",
            with_parameters(key_id, public, other), CARD_SEED,
        ),
        "id": (
            "factor.wrong", "R-FACTOR-1", "another key id",
            with_parameters(key_id[1:], public, point), CARD_SEED,
        ),
        "off": (
            "factor.parameters", "R-FACTOR-11", "a point that is not on the curve",
            with_parameters(key_id, public, off), CARD_SEED,
        ),
        "zero": (
            "factor.parameters", "R-FACTOR-11", "a point of zeros",
            with_parameters(key_id, public, b"\x04" + bytes(64)), CARD_SEED,
        ),
        "compressed": (
            "factor.parameters", "R-FACTOR-11", "04 is another octet",
            with_parameters(key_id, public, b"\x03" + point[1:]), CARD_SEED,
        ),
        "public-off": (
            "factor.parameters", "R-FACTOR-11", "a public key that is not on the curve",
            with_parameters(key_id, off, point), CARD_SEED,
        ),
        "short": (
            "format.malformed", "R-FACTOR-10", "a point of 64 bytes",
            with_parameters(key_id, public, point[:-1]), CARD_SEED,
        ),
        "no-id": (
            "format.malformed", "R-FACTOR-10", "an empty key id",
            with_parameters(b"", public, point), CARD_SEED,
        ),
        "long-id": (
            "format.malformed", "R-FACTOR-10", "a key id of 65 bytes",
            with_parameters(bytes(65), public, point), CARD_SEED,
        ),
        "items": (
            "format.malformed", "R-FACTOR-10", "a parameter is missing",
            with_parameters(key_id, public), CARD_SEED,
        ),
    }  # fmt: skip
    keys = member_keys(SEED)
    output = {
        "kem_public": keys.kem.public.hex(),
        "signing_public": keys.signing.public.hex(),
        "state_key": keys.state_key.reveal().hex(),
    }
    for name, (expect, requirement, why, raw, seed) in cases.items():
        yield Vector(
            f"smart-card-{name}", "unlock-smart-card", expect, requirement, why,
            {"enrolment": raw.hex(), "card_seed": seed.hex()}, output if expect == OK else None,
        )  # fmt: skip
