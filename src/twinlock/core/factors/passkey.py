"""A passkey: the pseudo-random function of a WebAuthn credential (SPEC 29).

A browser evaluates it by the extension ``prf``, everything else by CTAP's ``hmac-secret``; both
give the same 32 bytes for a salt, and only to a user whom the authenticator verified.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twinlock.core import cbor
from twinlock.core.factors import Parameters, Place
from twinlock.core.ports import Randomness
from twinlock.core.primitives import hkdf_extract, sha256
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError

KIND: Final = "passkey"
SALT_SIZE: Final = 32
PRF_SIZE: Final = 32
MIN_ID_SIZE: Final = 16
MAX_ID_SIZE: Final = 1023
MAX_RP_ID: Final = 253
_OUTPUT: Final = "twinlock/v1/passkey-out"
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The last label is no number: an IP address is no rp_id.
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")


@dataclass(frozen=True, slots=True)
class PasskeyCredential:
    """Which credential: the domain it is for, and its id of 16 to 1,023 bytes."""

    rp_id: str
    credential_id: bytes


@dataclass(frozen=True, slots=True)
class PasskeyFactor:
    """A credential on an authenticator.

    ``evaluate`` returns PRF(salt) of a credential, named by ``rp_id`` and its id, after the user
    was verified. ``credential`` is the one that a new enrolment is made with; unlocking takes the
    enrolment's.
    """

    evaluate: Callable[[str, bytes, bytes], Secret] = field(repr=False)
    credential: PasskeyCredential | None = None

    @property
    def kind(self) -> str:
        """``passkey``."""
        return KIND

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:  # noqa: ARG002
        """Return [rp_id, credential id, salt].

        Raises CallerError ``factor.passkey-unnamed`` without a credential, and
        ``factor.parameters`` for one that no enrolment may name.
        """
        if self.credential is None:
            raise CallerError(
                "factor.passkey-unnamed",
                "No passkey was made for this enrolment.",
                hint="Make one first, or name one that is there.",
            )
        named = [self.credential.rp_id, self.credential.credential_id]
        parameters: Parameters = [*named, randomness(SALT_SIZE)]
        take_passkey_parameters(parameters)
        return parameters

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """Have the authenticator evaluate the salt: one touch.

        Raises ``factor.parameters``, EnvError ``passkey.answer-wrong``, and whatever ``evaluate``
        raises.
        """
        credential, salt = take_passkey_parameters(parameters)
        answer = self.evaluate(credential.rp_id, credential.credential_id, salt)
        if len(answer) != PRF_SIZE:
            raise EnvError(
                "passkey.answer-wrong",
                f"The passkey answered with {len(answer)} bytes instead of {PRF_SIZE}.",
                hint="Use another authenticator, or another enrolment.",
            )
        return passkey_output(place, credential, answer)


def take_passkey_parameters(parameters: Parameters) -> tuple[PasskeyCredential, bytes]:
    """Take parameters apart: the credential, and the salt of 32 bytes.

    What stands in an enrolment is not authentic before it opened. Raises DataError
    ``factor.parameters`` for all that is not as R-PASSKEY-3 wants it.
    """
    try:
        rp_id, credential_id, salt = cbor.take_list(parameters, 3, 3)
        credential = PasskeyCredential(cbor.take_text(rp_id), cbor.take_bytes(credential_id))
        salt = cbor.take_bytes(salt, SALT_SIZE)
    except DataError as error:
        raise _outside() from error
    if not (is_rp_id(credential.rp_id) and MIN_ID_SIZE <= len(credential_id) <= MAX_ID_SIZE):
        raise _outside()
    return credential, salt


def is_rp_id(text: str) -> bool:
    """Whether a text is a domain name as browsers write one, and no address."""
    return len(text) <= MAX_RP_ID and _DOMAIN.fullmatch(text) is not None


def passkey_output(place: Place, credential: PasskeyCredential, answer: Secret) -> Secret:
    """Return the factor's 32 bytes; ``answer`` is PRF(salt)."""
    ids = [place.deployment_id, place.member_id, place.enrolment_id]
    named = [credential.rp_id, credential.credential_id]
    return Secret(hkdf_extract(sha256(cbor.encode([_OUTPUT, *ids, *named])), answer.reveal()))


def _outside() -> DataError:
    return DataError(
        "factor.parameters",
        "This enrolment asks for a passkey that none can be.",
        hint="Changed parameters are a sign of an attack. Compare with a backup.",
    )
