"""What comes over the wire instead of a passkey's response, and is refused."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from webauthn import verify_registration_response

from tests.passkey.browser import AGENT, SoftwareBrowser, decoded, encoded
from tests.passkey.site import KIM, Json, Site, changed, refusal, sent
from tests.passkey.software import SoftwareAuthenticator
from twinlock.errors import DataError


def flipped(text: str) -> str:
    raw = bytearray(decoded(text))
    raw[-1] ^= 1
    return encoded(bytes(raw))


ODD: list[Any] = [..., None, 7, True, [], {}, "", "!", "ä", "AA==", "A", "A" * 40_000, flipped]
COMMON = ("id", "rawId", "type", "response", "response.clientDataJSON")


def _odd(paths: tuple[str, ...]) -> list[tuple[str, Any]]:
    texts = {"response", "type"}
    return [(p, v) for p in paths for v in ODD if not (p in texts and v is flipped)]


@pytest.mark.parametrize(
    ("path", "value"),
    _odd((*COMMON, "response.authenticatorData", "response.signature")),
    ids=lambda value: repr(value)[:12],
)
def test_a_changed_assertion_is_refused(site: Site, path: str, value: Any) -> None:
    """R-PASSKEY-9, R-PASSKEY-8."""
    challenge, response = site.answered()
    refusal(lambda: site.finish(challenge, changed(response, path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    _odd((*COMMON, "response.attestationObject")),
    ids=lambda value: repr(value)[:12],
)
def test_a_changed_registration_is_refused(path: str, value: Any) -> None:
    """R-PASSKEY-9, R-PASSKEY-8."""
    site = Site(SoftwareBrowser(keeps_attestation=True))
    challenge = site.login.begin_registration()
    response = changed(site.browser.register(sent(challenge), KIM), path, value)
    refusal(lambda: site.login.finish_registration(challenge, response, member_id=KIM))


@pytest.mark.parametrize("odd", ["=", "\n", "!"], ids=repr)
def test_base64url_has_one_form(site: Site, odd: str) -> None:
    """R-PASSKEY-9: decoders that drop what they do not know read several texts alike."""
    challenge, response = site.answered()
    for name in ("clientDataJSON", "authenticatorData", "signature"):
        told = changed(response, f"response.{name}", lambda text: text + odd)
        refusal(lambda t=told: site.finish(challenge, t))


def test_client_data_beyond_the_bound_are_refused(site: Site) -> None:
    """R-PASSKEY-8: also where all else is right."""
    site.browser.said = {"other_keys_can_be_added_here": "x" * 4096}
    answered = site.answered()
    refusal(lambda: site.finish(*answered))
    site.browser.said = {"other_keys_can_be_added_here": "x" * 2048}
    assert site.sign_in()


def test_a_credential_is_stored_under_the_id_that_its_authenticator_states() -> None:
    """R-PASSKEY-7."""
    site = Site()
    challenge = site.login.begin_registration()
    response = site.browser.register(sent(challenge), KIM)
    other = encoded(os.urandom(32))
    odd = response | {"id": other, "rawId": other}
    refusal(lambda: site.login.finish_registration(challenge, odd, member_id=KIM))


@pytest.mark.parametrize(("size", "is_taken"), [(15, False), (16, True), (1023, True)])
def test_ids_have_the_sizes_that_enrolments_name(size: int, is_taken: bool) -> None:
    """R-PASSKEY-3, R-PASSKEY-10."""
    site = Site(SoftwareBrowser(SoftwareAuthenticator(id_size=size)))
    if is_taken:
        site.register()
        assert site.sign_in()
    else:
        refusal(site.register)


@pytest.mark.parametrize(
    "handle", [7, [], "", "!", encoded(KIM), encoded(KIM + bytes(17))], ids=repr
)
def test_a_user_handle_of_another_form_is_refused(site: Site, handle: Any) -> None:
    """R-PASSKEY-7."""
    challenge, response = site.answered()
    odd = changed(response, "response.userHandle", handle)
    refusal(lambda: site.finish(challenge, odd))
    refusal(lambda: site.login.claimed_member(odd))


@pytest.mark.parametrize("whole", [None, [], "{}", 7, {}, {"response": {}}], ids=repr)
def test_what_is_no_response_is_refused(site: Site, whole: Any) -> None:
    """R-PASSKEY-9."""
    challenge = site.login.begin("kim", site.stored)
    refusal(lambda: site.finish(challenge, whole))
    refusal(lambda: site.login.claimed_member(whole))
    refusal(lambda: site.login.finish_registration(challenge, whole, member_id=KIM))


@pytest.mark.parametrize(
    "data", [b"[" * 4000, b'{"a":' * 800, b"null", b"7", b'"x"', b"\xff", b"{", b"{}"], ids=repr
)
def test_client_data_that_are_none_are_refused(site: Site, data: bytes) -> None:
    """R-PASSKEY-8."""
    challenge, response = site.answered()
    odd = changed(response, "response.clientDataJSON", encoded(data))
    refusal(lambda: site.finish(challenge, odd))


def bomb(levels: int) -> bytes:
    """CBOR whose shared references stand for 2^levels values."""
    opened = b"\xd8\x1c\x82" * levels + b"\xd8\x1c\x80"
    return opened + b"".join(b"\xd8\x1d" + cbor2.dumps(i) for i in range(levels, 0, -1))


BAD_CBOR = {
    "shared references": bomb(100),
    "a decimal fraction": b"\xc4\x82\x1a\x7f\xff\xff\xff\x01",
    "an indefinite length": b"\x9f\xff",
    "a float": b"\xfb" + bytes(8),
    "a claimed length": b"\x9b" + b"\xff" * 8,
    "a claimed map": b"\xbb" + b"\xff" * 8,
    "a claimed text": b"\x7a\xff\xff\xff\xff",
    "depth": b"\x81" * 2000 + b"\x80",
    "a key twice": b"\xa2\x01\x01\x01\x01",
    "a key of bytes": b"\xa1\x41\x01\x01",
    "text that is none": b"\x61\xff",
    "an end before its time": b"\x82\x01",
    "an unused simple value": b"\xe0",
    "a reserved length": b"\x1c" + bytes(16),
    "a number without an end": b"\x1f" + bytes(128),
    "something after its end": b"\x01\x01",
}


@pytest.mark.parametrize("name", BAD_CBOR)
def test_cbor_that_costs_more_than_it_weighs_is_refused_before_it_is_decoded(
    site: Site, name: str
) -> None:
    """R-PASSKEY-8: nobody has signed for it yet."""
    challenge, response = site.answered()
    data = bytearray(decoded(response["response"]["authenticatorData"])[:37])
    data[32] |= 0x80
    told = encoded(bytes(data) + b"\xa1\x61a" + BAD_CBOR[name])
    error = refusal(
        lambda: site.finish(challenge, changed(response, "response.authenticatorData", told))
    )
    assert isinstance(error.__cause__, DataError)
    made = {"fmt": "none", "attStmt": {}, "authData": bytes(data) + b"\xa1\x61a" + BAD_CBOR[name]}
    for raw in (cbor2.dumps(made), BAD_CBOR[name]):
        odd = changed(response, "response.attestationObject", encoded(raw))
        begun = site.login.begin_registration()
        error = refusal(lambda o=odd, b=begun: site.login.finish_registration(b, o, member_id=KIM))
        assert isinstance(error.__cause__, DataError)


@pytest.mark.parametrize(
    "change",
    [
        {"fmt": "fido-u2f"},
        {"fmt": "tpm"},
        {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"", "x5c": [b"certificate"]}},
        {"fmt": "packed", "attStmt": {"alg": -7, "sig": bytes(70)}},
        {"fmt": "none", "attStmt": {"alg": -7, "sig": bytes(70)}},
        {"fmt": 7},
        {"attStmt": []},
    ],
    ids=repr,
)
def test_an_attestation_that_was_not_asked_for_is_refused(change: Json) -> None:
    """R-PASSKEY-7."""
    site = Site()
    challenge = site.login.begin_registration()
    response = site.browser.register(sent(challenge), KIM)
    made = cbor2.loads(decoded(response["response"]["attestationObject"])) | change
    odd = changed(response, "response.attestationObject", encoded(cbor2.dumps(made)))
    refusal(lambda: site.login.finish_registration(challenge, odd, member_id=KIM))


def test_a_certified_attestation_is_refused_though_it_is_right() -> None:
    """R-PASSKEY-7: a certificate tells authenticators apart, and was not asked for."""
    site = Site()
    challenge = site.login.begin_registration()
    response = site.browser.register(sent(challenge), KIM)
    made = cbor2.loads(decoded(response["response"]["attestationObject"]))
    maker = ec.generate_private_key(ec.SECP256R1())
    digest = sha256(decoded(response["response"]["clientDataJSON"])).digest()
    signature = maker.sign(made["authData"] + digest, ec.ECDSA(SHA256()))
    statement = {"alg": -7, "sig": signature, "x5c": [certificate(maker)]}
    certified = cbor2.dumps({"fmt": "packed", "attStmt": statement, "authData": made["authData"]})
    told = changed(response, "response.attestationObject", encoded(certified))
    verify_registration_response(
        credential=told,
        expected_challenge=decoded(client_data(response)["challenge"]),
        expected_rp_id="agent.example",
        expected_origin=AGENT,
    )
    refusal(lambda: site.login.finish_registration(challenge, told, member_id=KIM))


def client_data(response: Json) -> Json:
    return json.loads(decoded(response["response"]["clientDataJSON"]))


def certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    """What a maker of authenticators certifies its key with (WebAuthn Level 3, 8.2.1)."""
    units = [("C", "DE"), ("O", "Maker"), ("OU", "Authenticator Attestation"), ("CN", "Key")]
    name = x509.Name.from_rfc4514_string(",".join(f"{k}={v}" for k, v in reversed(units)))
    when = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, when, when.replace(2046))
    extended = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    return extended.sign(key, SHA256()).public_bytes(Encoding.DER)


def test_a_key_that_is_off_its_curve_is_not_registered() -> None:
    """R-PASSKEY-7: without an attestation nobody has used it yet."""
    site = Site()
    challenge = site.login.begin_registration()
    response = site.browser.register(sent(challenge), KIM)
    made = cbor2.loads(decoded(response["response"]["attestationObject"]))
    data = bytearray(made["authData"])
    y = data.rindex(b"\x22\x58\x20") + 3
    data[y : y + 32] = bytes(32)
    made["authData"] = bytes(data)
    odd = changed(response, "response.attestationObject", encoded(cbor2.dumps(made)))
    refusal(lambda: site.login.finish_registration(challenge, odd, member_id=KIM))


def test_an_attestation_object_is_all_that_is_sent() -> None:
    """R-PASSKEY-8: whatever a general decoder would leave unread."""
    site = Site()
    challenge = site.login.begin_registration()
    response = site.browser.register(sent(challenge), KIM)
    longer = changed(
        response, "response.attestationObject", lambda text: encoded(decoded(text) + b"\x00")
    )
    error = refusal(lambda: site.login.finish_registration(challenge, longer, member_id=KIM))
    assert isinstance(error.__cause__, DataError)
