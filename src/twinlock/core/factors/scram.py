"""SCRAM-SHA-256's ClientKey as a factor (SPEC 27).

The exchange that signs in shows ClientKey to the server that ends it, and StoredKey with one
recorded exchange gives it to anybody. So this factor keeps out whoever has neither; against the
server it adds nothing, which is why ``enrol`` wants a factor of 128 bits beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors import Parameters, Place
from twinlock.core.ports import Randomness
from twinlock.core.primitives import hkdf_extract, sha256
from twinlock.core.scram.keys import (
    MAX_ITERATIONS,
    MAX_SALT,
    MIN_ITERATIONS,
    MIN_SALT,
    SALT_SIZE,
    ScramKeys,
    scram_keys,
)
from twinlock.core.secret import Secret
from twinlock.errors import DataError

KIND: Final = "scram"
_OUTPUT: Final = "twinlock/v1/scram-out"


class ScramFactor:
    """The password of a SCRAM account, asked for when it is needed.

    ``salt`` and ``iterations`` are those of the account's verifier; without a salt a new one is
    drawn, for a verifier that is still to be made.
    """

    def __init__(
        self, ask: Callable[[], str], *, salt: bytes | None = None, iterations: int = MIN_ITERATIONS
    ) -> None:
        self._ask = ask
        self._chosen = (salt, iterations)
        self._derived: dict[tuple[bytes, int], ScramKeys] = {}

    @property
    def kind(self) -> str:
        """``scram``."""
        return KIND

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        """Return [salt, iterations]. Raises ``factor.parameters`` for too weak a verifier."""
        return list(self.choose(randomness))

    def choose(self, randomness: Randomness) -> tuple[bytes, int]:
        """Return salt and iterations of the account's verifier, or draw a salt for a new one.

        Raises ``factor.parameters`` for too weak a verifier.
        """
        salt, iterations = self._chosen
        return take_scram_parameters([randomness(SALT_SIZE) if salt is None else salt, iterations])

    def with_verifier(self, parameters: Parameters) -> ScramFactor:
        """Return the same password for new enrolments that go with the verifier of an old one.

        Raises ``factor.parameters`` or ``format.malformed``.
        """
        salt, iterations = take_scram_parameters(parameters)
        same = ScramFactor(self._ask, salt=salt, iterations=iterations)
        same._derived = self._derived
        return same

    def keys(self, salt: bytes, iterations: int) -> ScramKeys:
        """Derive the password's keys; signing in and unlocking pay for it once.

        Raises ``factor.passphrase-invalid``.
        """
        if (salt, iterations) not in self._derived:
            self._derived[salt, iterations] = scram_keys(self._ask(), salt, iterations)
        return self._derived[salt, iterations]

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """Return the output of ClientKey. Raises ``factor.parameters`` or ``format.malformed``."""
        salt, iterations = take_scram_parameters(parameters)
        return scram_output(place, self.keys(salt, iterations).client_key)


def take_scram_parameters(parameters: Parameters) -> tuple[bytes, int]:
    """Return salt (12 to 64 bytes) and iterations (600,000 to 10,000,000).

    Raises DataError ``factor.parameters`` or ``format.malformed``.
    """
    salt, iterations = cbor.take_list(parameters, 2, 2)
    salt, iterations = cbor.take_bytes(salt), cbor.take_uint(iterations)
    within = MIN_SALT <= len(salt) <= MAX_SALT and MIN_ITERATIONS <= iterations <= MAX_ITERATIONS
    if not within:
        raise DataError(
            "factor.parameters",
            "This enrolment asks for a passphrase hash outside the allowed limits.",
            hint="Weakened parameters are a sign of an attack. Compare with a backup.",
        )
    return salt, iterations


def scram_output(place: Place, client_key: Secret) -> Secret:
    """Return the factor's 32 bytes: ClientKey bound to one enrolment."""
    ids = [place.deployment_id, place.member_id, place.enrolment_id]
    return Secret(hkdf_extract(sha256(cbor.encode([_OUTPUT, *ids])), client_key.reveal()))
