"""One CTAP2 authenticator, through python-fido2: what it can, what it holds, what it computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fido2.ctap import CtapDevice, CtapError
from fido2.ctap2.base import Ctap2
from fido2.ctap2.extensions import AuthenticatorExtensionsPRFOutputs, HmacSecretExtension
from fido2.hid import CAPABILITY, CtapHidDevice
from fido2.webauthn import (
    AuthenticationResponse,
    AuthenticatorData,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRequestOptions,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from twinlock.core.factors.passkey import PasskeyCredential
from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret
from twinlock.passkey import failures
from twinlock.passkey.asking import Person, asking

_ALGORITHMS: Final = (-7, -8, -257)
"""ES256, EdDSA and RS256 (RFC 9053, RFC 8812), the best first."""
_PUBLIC_KEY: Final = PublicKeyCredentialType.PUBLIC_KEY
_VERIFIED: Final = UserVerificationRequirement.REQUIRED
_CHALLENGE_SIZE: Final = 32
_USER_ID_SIZE: Final = 32


Device = CtapDevice
"""What carries an authenticator's messages: python-fido2's, or one of a caller's own."""


def connected() -> Iterable[Device]:
    """Yield the authenticators at this computer's USB ports. Raises OSError."""
    return CtapHidDevice.list_devices()


class Authenticator:
    """An authenticator that speaks CTAP2. Raises ClientError, CtapError, OSError and others.

    ``passkey.failures.as_passkey_errors`` translates them.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._ctap = Ctap2(device)

    @classmethod
    def of(cls, device: Device) -> Authenticator | None:
        """Return the authenticator behind a device, None for one without CTAP2."""
        return cls(device) if device.capabilities & CAPABILITY.CBOR else None

    @property
    def has_hmac_secret(self) -> bool:
        """Whether its credentials can have the pseudo-random function."""
        return HmacSecretExtension.NAME in self._ctap.info.extensions

    def holds(self, credential: PasskeyCredential, randomness: Randomness) -> bool | None:
        """Ask whether it holds a credential, without a touch or a PIN; None if it will not say.

        The answer is signed for a random challenge, and without presence: it signs in nowhere.
        """
        longest = self._ctap.info.max_cred_id_length
        if longest and len(credential.credential_id) > longest:
            return False
        named = {"type": "public-key", "id": credential.credential_id}
        challenge = randomness(_CHALLENGE_SIZE)
        try:
            self._ctap.get_assertion(credential.rp_id, challenge, [named], options={"up": False})
        except CtapError as error:
            if error.code in (CtapError.ERR.NO_CREDENTIALS, CtapError.ERR.INVALID_CREDENTIAL):
                return False
            return None
        return True

    def make(self, rp_id: str, user_name: str, person: Person) -> bytes:
        """Make a credential with hmac-secret and return its id; discoverable if there is room.

        Raises ``passkey.no-pin``, ``passkey.no-hmac-secret`` and ``passkey.not-verified`` too.
        """
        options = PublicKeyCredentialCreationOptions(
            rp=PublicKeyCredentialRpEntity(name=rp_id, id=rp_id),
            user=PublicKeyCredentialUserEntity(
                # Fresh, so that it takes the place of no other passkey.
                id=person.randomness(_USER_ID_SIZE),
                name=user_name,
                display_name=user_name,
            ),
            challenge=person.randomness(_CHALLENGE_SIZE),
            pub_key_cred_params=[
                PublicKeyCredentialParameters(type=_PUBLIC_KEY, alg=one) for one in _ALGORITHMS
            ],
            timeout=person.timeout,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=self._discoverable, user_verification=_VERIFIED
            ),
            extensions={"prf": {}},
        )
        made = asking(
            self._device, self._ctap, person, lambda client: client.make_credential(options)
        )
        _check_verified(made.response.attestation_object.auth_data)
        prf = _prf_of(made)
        if prf is None or prf.enabled is not True:
            raise failures.no_hmac_secret()
        return bytes(made.raw_id)

    def evaluate(self, credential: PasskeyCredential, salt: bytes, person: Person) -> Secret:
        """Return PRF(salt) of a credential, after the user was verified.

        Raises ``passkey.no-pin``, ``passkey.other-credential`` and ``passkey.not-verified`` too.
        """
        options = PublicKeyCredentialRequestOptions(
            challenge=person.randomness(_CHALLENGE_SIZE),
            timeout=person.timeout,
            rp_id=credential.rp_id,
            allow_credentials=[
                PublicKeyCredentialDescriptor(type=_PUBLIC_KEY, id=credential.credential_id)
            ],
            user_verification=_VERIFIED,
            extensions={"prf": {"eval": {"first": salt}}},
        )
        answers = asking(
            self._device, self._ctap, person, lambda client: client.get_assertion(options)
        )
        answer = answers.get_response(0)
        if answer.raw_id != credential.credential_id:
            raise failures.other_credential()
        _check_verified(answer.response.authenticator_data)
        prf = _prf_of(answer)
        if prf is None or prf.results is None:
            raise failures.no_hmac_secret()
        return Secret(prf.results.first)

    @property
    def _discoverable(self) -> ResidentKeyRequirement:
        full = self._ctap.info.remaining_disc_creds == 0
        return ResidentKeyRequirement.DISCOURAGED if full else ResidentKeyRequirement.PREFERRED


def _prf_of(
    answer: RegistrationResponse | AuthenticationResponse,
) -> AuthenticatorExtensionsPRFOutputs | None:
    found = getattr(answer.client_extension_results, "prf", None)
    return found if isinstance(found, AuthenticatorExtensionsPRFOutputs) else None


def _check_verified(stated: AuthenticatorData) -> None:
    # Without verification hmac-secret is another function, which whoever finds the key can use.
    if not (stated.is_user_present() and stated.is_user_verified()):
        raise failures.not_verified("The authenticator answered without verifying its user.")
