"""A password, hardened by the token (SPEC 24).

Whoever holds the enrolment cannot test a password without the token's hardening key: each guess is
one call of the token, which the server counts. The server, in turn, learns nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors import Parameters, Place
from twinlock.core.factors.stretching import (
    MIN_ITERATIONS,
    MIN_MEMORY_KIB,
    SALT_SIZE,
    Stretching,
    stretch,
    take_stretching,
)
from twinlock.core.hardening.curve import Point
from twinlock.core.hardening.evaluation import Evaluate, blind
from twinlock.core.hardening.hash_to_curve import hash_to_curve
from twinlock.core.ports import Randomness
from twinlock.core.primitives import hkdf_extract, sha256
from twinlock.core.secret import Secret

DST: Final = b"TWINLOCK-V1-PW-P256_XMD:SHA-256_SSWU_RO_"
_POINT: Final = "twinlock/v1/pw"
_OUTPUT: Final = "twinlock/v1/pw-out"
_KID_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class PasswordFactor:
    """A password, asked for when it is needed.

    ``offer`` returns the id of the hardening key for a new enrolment; ``pinned`` the 65-byte point
    of a hardening key, by its id, from the directory of the pinned token and from nowhere else;
    ``evaluate`` asks the server, which counts it.
    """

    ask: Callable[[], str] = field(repr=False)
    offer: Callable[[], bytes]
    pinned: Callable[[bytes], bytes]
    evaluate: Evaluate
    randomness: Randomness
    memory_kib: int = MIN_MEMORY_KIB
    iterations: int = MIN_ITERATIONS

    @property
    def kind(self) -> str:
        """``password``."""
        return "password"

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        """Return [kid of the hardening key, salt, memory in KiB, iterations, lanes]."""
        return [self.offer(), randomness(SALT_SIZE), self.memory_kib, self.iterations, 1]

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """Hash the password and have the hash hardened: one evaluation, always checked.

        Raises ``factor.parameters``, ``factor.passphrase-invalid``, ``factor.hardening``, and
        whatever ``pinned`` and ``evaluate`` raise.
        """
        kid, stretching = take_password_parameters(parameters)
        public = self.pinned(kid)
        stretched = stretch(self.ask(), stretching)
        blinded = blind(password_point(place, kid, stretched), self.randomness)
        hardened = blinded.accept(public, self.evaluate(kid, *blinded.sent))
        return password_output(place, kid, public, hardened, stretched)


def take_password_parameters(parameters: Parameters) -> tuple[bytes, Stretching]:
    """Take parameters apart. Raises ``factor.parameters`` or ``format.malformed``."""
    kid, *stretching = cbor.take_list(parameters, 5, 5)
    return cbor.take_bytes(kid, _KID_SIZE), take_stretching(stretching)


def password_point(place: Place, kid: bytes, stretched: Secret) -> Point:
    """Return the point that stands for a password in one enrolment and under one key."""
    message = cbor.encode([_POINT, *_ids(place), kid, stretched.reveal()])
    return hash_to_curve(message, DST)


def password_output(
    place: Place, kid: bytes, public: bytes, hardened: Secret, stretched: Secret
) -> Secret:
    """Return the factor's 32 bytes; ``public`` is K, ``hardened`` x(kP)."""
    salt = sha256(cbor.encode([_OUTPUT, *_ids(place), kid, public]))
    return Secret(hkdf_extract(salt, hardened.reveal() + stretched.reveal()))


def _ids(place: Place) -> list[bytes]:
    return [place.deployment_id, place.member_id, place.enrolment_id]
