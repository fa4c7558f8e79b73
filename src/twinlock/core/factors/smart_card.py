"""A smart card: a P-256 key that never leaves it, multiplied with a point (SPEC 15).

The enrolment keeps a point whose discrete logarithm is forgotten. Only the card turns it into the
x-coordinate that the output is made of: an ordinary ECDH, which every PKCS#11 card has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors import Parameters, Place
from twinlock.core.hardening.curve import POINT_SIZE, decode_point
from twinlock.core.ports import Randomness
from twinlock.core.primitives import agreement_key_from_seed, equal, hkdf_extract, sha256
from twinlock.core.secret import Secret
from twinlock.errors import DataError, EnvError

MAX_ID_SIZE: Final = 64
_OUTPUT: Final = "twinlock/v1/smart-card-out"
_SEED_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class CardKey:
    """A key on a card: its CKA_ID, 1 to 64 bytes, and its public point, 65 bytes uncompressed."""

    key_id: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class SmartCardFactor:
    """A key on a smart card.

    ``offer`` names the key for a new enrolment. ``multiply`` returns the 32-byte x-coordinate of
    that very key times a point, and raises ``card.key-missing`` or ``card.key-replaced`` when the
    card has it not.
    """

    offer: Callable[[], CardKey]
    multiply: Callable[[CardKey, bytes], Secret]

    @property
    def kind(self) -> str:
        """``smart-card``."""
        return "smart-card"

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        """Return [key id, public point, point], for a fresh point that the card was tried on.

        The scalar of ``point`` is forgotten here: with it and the public key anybody could do what
        the card does. Raises EnvError ``card.answer-wrong`` when the card's answer is not its
        key's, so that nobody locks a seed with what will not open it.
        """
        key = self.offer()
        ephemeral = agreement_key_from_seed(Secret(randomness(_SEED_SIZE)))
        answer = self.multiply(key, ephemeral.public)
        if not equal(answer.reveal(), ephemeral.x_of(key.public)):
            raise EnvError(
                "card.answer-wrong",
                "The smart card does not compute with the key that it shows.",
                hint="Enrol another key or another card: this one would not open later.",
            )
        return [key.key_id, key.public, ephemeral.public]

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """Have the card multiply the enrolment's point: one operation of its private key.

        Raises ``factor.parameters`` or ``format.malformed``, and whatever ``multiply`` raises.
        """
        key, point = take_card_parameters(parameters)
        return card_output(place, key, point, self.multiply(key, point))


def take_card_parameters(parameters: Parameters) -> tuple[CardKey, bytes]:
    """Take parameters apart; both points are on the curve then.

    What stands in an enrolment is not authentic before it opened, and a card may not look: a point
    off the curve would have it give its key away piece by piece (invalid-curve attack). Raises
    DataError ``factor.parameters`` or ``format.malformed``.
    """
    key_id, public, point = cbor.take_list(parameters, 3, 3)
    key_id = cbor.take_bytes(key_id)
    if not 1 <= len(key_id) <= MAX_ID_SIZE:
        raise cbor.malformed("a card's key id has 1 to 64 bytes")
    for one in (public, point):
        try:
            decode_point(cbor.take_bytes(one, POINT_SIZE))
        except DataError as error:
            if error.code != "key.malformed":
                raise
            raise DataError(
                "factor.parameters",
                "This enrolment asks a smart card to compute with what is no point of P-256.",
                hint="That is a sign of an attack on the card's key. Compare with a backup.",
            ) from error
    return CardKey(key_id, public), point


def card_output(place: Place, key: CardKey, point: bytes, shared: Secret) -> Secret:
    """Return the factor's 32 bytes; ``shared`` is the card's x-coordinate."""
    ids = [place.deployment_id, place.member_id, place.enrolment_id]
    salt = sha256(cbor.encode([_OUTPUT, *ids, key.key_id, key.public, point]))
    return Secret(hkdf_extract(salt, shared.reveal()))
