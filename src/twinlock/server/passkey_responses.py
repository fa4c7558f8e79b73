"""What browsers answer with, checked by py_webauthn behind bounds of our own.

Everything here comes from whoever reaches the server. Needs the ``passkey`` extra.
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException

from twinlock.core import cbor
from twinlock.core.factors.passkey import MAX_ID_SIZE, MIN_ID_SIZE
from twinlock.errors import CallerError, DataError
from twinlock.server.passkey_records import MEMBER_ID_SIZE, PasskeyRecord, known_transports
from twinlock.server.plain_cbor import check_authenticator_data, read_attestation

Response = Mapping[str, Any]
"""A response as JSON gives it (SPEC 29)."""

USER_HANDLE_SIZE: Final = 32
_MAX_DATA: Final = 4096
_MAX_ATTESTATION: Final = 16_384
_MAX_SIGNATURE: Final = 1024
_ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_BROKEN: Final = (
    *(WebAuthnException, InvalidSignature, UnsupportedAlgorithm, DataError),
    # What py_webauthn lets through of what it was not made for.
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError),
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a response must be for: the challenge, the agent's origin and its host."""

    challenge: bytes
    origin: str
    rp_id: str


def check_registration(response: Response, expected: Expected, member_id: bytes) -> PasskeyRecord:
    """Return the record of a new credential. Raises ``passkey.refused``, ``passkey.prf-leaked``."""
    _refuse_prf_results(response)
    with _as_one_refusal():
        credential_id, given = _credential(response)
        raw = _bytes_of(given, "attestationObject", _MAX_ATTESTATION)
        _check_client_data(given)
        _check_statement(read_attestation(raw))
        verified = verify_registration_response(
            credential=_shown(response, given, "clientDataJSON", "attestationObject"),
            expected_challenge=expected.challenge,
            expected_rp_id=expected.rp_id,
            expected_origin=expected.origin,
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
        if verified.credential_id != credential_id:
            raise cbor.malformed("its id is not that of the credential")
        public_key = verified.credential_public_key
        decoded_public_key_to_cryptography(decode_credential_public_key(public_key))
        return PasskeyRecord(
            member_id,
            expected.rp_id,
            credential_id,
            public_key,
            verified.sign_count,
            known_transports(given.get("transports")),
        )


def check_assertion(response: Response, expected: Expected, record: PasskeyRecord) -> int:
    """Return the new count of a credential that signed. Raises ``passkey.refused``."""
    with _as_one_refusal():
        credential_id, given = _credential(response)
        check_authenticator_data(_bytes_of(given, "authenticatorData", _MAX_DATA))
        _bytes_of(given, "signature", _MAX_SIGNATURE)
        _check_client_data(given)
        claimed = claimed_member(response)
        verified = verify_authentication_response(
            credential=_shown(response, given, "clientDataJSON", "authenticatorData", "signature"),
            expected_challenge=expected.challenge,
            expected_rp_id=expected.rp_id,
            expected_origin=expected.origin,
            credential_public_key=record.public_key,
            credential_current_sign_count=record.sign_count,
            require_user_verification=True,
        )
        # At last, so that it is as long for strangers.
        if credential_id != record.credential_id or claimed not in (None, record.member_id):
            raise cbor.malformed("it is another credential, or of another member")
        return verified.new_sign_count


def claimed_credential(response: Response) -> bytes:
    """Return the id that an assertion says it is of. Raises the errors of ``check_assertion``."""
    _refuse_prf_results(response)
    with _as_one_refusal():
        return _credential(response)[0]


def claimed_member(response: Response) -> bytes | None:
    """Return whose passkey an assertion says it is: a member's id that nobody has verified.

    None where the authenticator did not say. Raises ``passkey.refused``.
    """
    with _as_one_refusal():
        _, given = _credential(response)
        if given.get("userHandle") is None:
            return None
        handle = _bytes_of(given, "userHandle", USER_HANDLE_SIZE)
        if len(handle) != USER_HANDLE_SIZE:
            raise cbor.malformed("its user handle has not 32 bytes")
        return handle[:MEMBER_ID_SIZE]


@contextmanager
def _as_one_refusal() -> Iterator[None]:
    """The border: whatever is wrong shows one face, with its cause inside."""
    try:
        yield
    except _BROKEN as error:
        raise refused() from error


def refused() -> CallerError:
    """Return the one error for whatever is wrong with a response."""
    return CallerError(
        "passkey.refused",
        "This passkey was not accepted.",
        hint="Try again, or sign in another way.",
    )


def _refuse_prf_results(response: Response) -> None:
    results = response.get("clientExtensionResults") if isinstance(response, Mapping) else None
    prf = results.get("prf") if isinstance(results, Mapping) else None
    leaked = isinstance(prf, Mapping) and "results" in prf
    if leaked or (isinstance(results, Mapping) and "hmacGetSecret" in results):
        raise CallerError(
            "passkey.prf-leaked",
            "The response holds what the passkey unlocks with, which no server may see.",
            hint="Update the agent. Then make the enrolments of this passkey anew.",
        )


def _credential(response: Response) -> tuple[bytes, Response]:
    """The credential's id, and the inner response."""
    credential_id = _bytes_of(response, "rawId", MAX_ID_SIZE)
    if len(credential_id) < MIN_ID_SIZE:
        raise cbor.malformed("its id is too short")
    given = response["response"]
    if not isinstance(given, Mapping):
        raise cbor.malformed("it holds no response")
    return credential_id, given


def _bytes_of(values: Response, name: str, most: int) -> bytes:
    """Return bytes that stand in JSON as base64url without padding, in the one form."""
    text = values[name]
    if not isinstance(text, str) or len(text) > (most * 4 + 2) // 3:
        raise cbor.malformed(f"its {name} is no text or too long")
    raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if encoded(raw) != text:
        raise cbor.malformed(f"its {name} is not base64url")
    return raw


def encoded(raw: bytes) -> str:
    """Return bytes as they stand in JSON: base64url without padding (RFC 4648, 5)."""
    return b64encode(raw, b"-_").rstrip(b"=").decode()


def _check_client_data(given: Response) -> None:
    data = json.loads(_bytes_of(given, "clientDataJSON", _MAX_DATA))
    # py_webauthn does not look: the agent is framed by nobody (R-WEB-1).
    if data.get("crossOrigin", False) is not False or "topOrigin" in data:
        raise cbor.malformed("it was made in a frame")


def _check_statement(attestation: Mapping[str, Any]) -> None:
    """Take no statement, or that of the key itself: certificates were not asked for."""
    form, statement = attestation.get("fmt"), attestation.get("attStmt")
    is_none = form == "none" and statement == {}
    is_own = form == "packed" and isinstance(statement, dict) and "x5c" not in statement
    if not (is_none or is_own):
        raise cbor.malformed("its attestation was not asked for")


def _shown(response: Response, given: Response, *names: str) -> dict[str, Any]:
    """What py_webauthn is shown: the members that were checked, and no other."""
    return {
        "id": response["id"],
        "rawId": response["rawId"],
        "type": response["type"],
        "response": {name: given[name] for name in names},
    }
