"""The browser agent's part of SPEC 29, over an authenticator in software: a second implementation.

It has no line of the server's; what it signs goes through python-fido2's client as through a
browser.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from fido2.client import ClientDataCollector, Fido2Client, UserInteraction
from fido2.webauthn import (
    AttestationObject,
    CollectedClientData,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialRequestOptions,
)

from tests.passkey.software import SoftwareAuthenticator

AGENT = "https://agent.example"
APPLICATION = "https://app.example"


@dataclass
class SoftwareBrowser(ClientDataCollector, UserInteraction):
    """The agent's window on one computer. What tests change of it stands first.

    ``said`` goes into the client data; ``verification`` is asked of the authenticator.
    """

    authenticator: SoftwareAuthenticator = field(default_factory=SoftwareAuthenticator)
    origin: str = AGENT
    page: str = APPLICATION
    said: dict[str, Any] = field(default_factory=dict)
    verification: str = "required"
    keeps_attestation: bool = False

    @property
    def rp_id(self) -> str:
        return self.origin.removeprefix("https://").split(":")[0]

    def register(self, options: dict[str, Any], member_id: bytes) -> dict[str, Any]:
        """Make a passkey for a member: the RegistrationResponseJSON of the specification."""
        nonce = decoded(options["nonce"])
        content = ["twinlock/v1/passkey-registration", self.page, member_id, nonce]
        wanted = {
            "rp": {"id": self.rp_id, "name": "Agent"},
            "user": {
                "id": member_id + os.urandom(16),
                "name": "kim",
                "displayName": "kim",
            },
            "challenge": sha256(cbor2.dumps(content)).digest(),
            "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in (-7, -8, -257)],
            "excludeCredentials": [_descriptor(one) for one in options["exclude"]],
            "authenticatorSelection": {
                "residentKey": "preferred",
                "userVerification": self.verification,
            },
            "extensions": {"prf": {}},
        }
        made = self._client.make_credential(PublicKeyCredentialCreationOptions.from_dict(wanted))
        whole = json.loads(json.dumps(dict(made)))
        if not self.keeps_attestation:
            kept = made.response.attestation_object
            none = AttestationObject.create("none", kept.auth_data, {})
            whole["response"]["attestationObject"] = encoded(none)
        return {
            "id": whole["id"],
            "rawId": whole["rawId"],
            "type": "public-key",
            "authenticatorAttachment": whole["authenticatorAttachment"],
            "clientExtensionResults": {"prf": {"enabled": True}},
            "response": {
                "clientDataJSON": whole["response"]["clientDataJSON"],
                "attestationObject": whole["response"]["attestationObject"],
                "transports": ["usb", "nfc", "carrier-pigeon"],
            },
        }

    def sign_in(
        self, options: dict[str, Any], salt: bytes = bytes(32)
    ) -> tuple[dict[str, Any], bytes]:
        """Sign in with one touch: the AuthenticationResponseJSON, and PRF(salt) beside it."""
        content = ["twinlock/v1/sign-in", self.page, decoded(options["nonce"])]
        wanted = {
            "rpId": self.rp_id,
            "challenge": sha256(cbor2.dumps(content)).digest(),
            "allowCredentials": [_descriptor(one) for one in options["allow"]],
            "userVerification": self.verification,
            "extensions": {"prf": {"eval": {"first": salt}}},
        }
        found = self._client.get_assertion(PublicKeyCredentialRequestOptions.from_dict(wanted))
        answer = found.get_response(0)
        whole = json.loads(json.dumps(dict(answer.response)))
        result = {
            "id": encoded(answer.raw_id),
            "rawId": encoded(answer.raw_id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": whole["clientDataJSON"],
                "authenticatorData": whole["authenticatorData"],
                "signature": whole["signature"],
                "userHandle": whole.get("userHandle"),
            },
        }
        return result, answer.client_extension_results.prf.results.first

    # --- what python-fido2 calls back for -----------------------------------------------------

    @property
    def _client(self) -> Fido2Client:
        return Fido2Client(self.authenticator, self, self)

    def collect_client_data(self, options: Any) -> tuple[CollectedClientData, str]:
        is_new = isinstance(options, PublicKeyCredentialCreationOptions)
        given = {
            "type": f"webauthn.{'create' if is_new else 'get'}",
            "challenge": options.challenge,
            "origin": self.origin,
        }
        return CollectedClientData.create(**(given | self.said)), self.rp_id

    def prompt_up(self) -> None:
        pass

    def request_pin(self, permissions: Any, rp_id: str | None) -> str | None:
        return self.authenticator.pin

    def request_uv(self, permissions: Any, rp_id: str | None) -> bool:
        return True


def decoded(text: str) -> bytes:
    """Bytes of base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(raw: bytes) -> str:
    """The same the other way round."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _descriptor(entry: dict[str, Any]) -> dict[str, Any]:
    return {"type": "public-key", "id": decoded(entry["id"])}
