"""Tries at the member routes, as somebody makes them who knows a name and nothing else."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from tests.http.ward import Ward, asked, service_of
from twinlock.core.member_bundle import BundleRequest, decode_member_bundle
from twinlock.core.primitives import signing_key_from_seed
from twinlock.core.release import sign_message
from twinlock.core.request import decode_hello
from twinlock.core.scram.exchange import begin
from twinlock.core.secret import Secret
from twinlock.server.attempts import SignIns
from twinlock.server.config import SignInLimits

STRANGER = "bob"
"""As long as kim, so that sizes can be compared."""


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def limited(ward: Ward, **limits: int) -> None:
    vault = ward.world.vault
    vault._sign_ins = SignIns(SignInLimits(**limits), vault.store, ward.world.clock)


def scram_first(client: Any, name: str) -> tuple[Any, Any, Any]:
    start = begin(name, lambda size: b"n" * size)
    return start, asked(client, "scram/first", {"message": start.first}), client


def wrong_final(client: Any, name: str) -> Any:
    _, first, _ = scram_first(client, name)
    said = first.json()
    nonce = said["message"].split(",")[0]
    proof = base64.b64encode(bytes(32)).decode()
    message = f"c=biws,{nonce},p={proof}"
    return asked(client, "scram/final", {"session": said["session"], "message": message})


def wrong_passkey(client: Any, name: str, browser: Any) -> Any:
    """What another passkey would sign: nobody has the one that is asked for."""
    begun = asked(client, "sign-in/begin", {"name": name}).json()
    raw = {"id": b64(bytes(32)), "rawId": b64(bytes(32)), "type": "public-key"}
    data = json.dumps({"type": "webauthn.get", "challenge": "", "origin": ""}).encode()
    response = {
        **raw,
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": b64(data),
            "authenticatorData": b64(bytes(37)),
            "signature": b64(bytes(70)),
        },
    }
    return asked(client, "sign-in/finish", {"session": begun["session"], "response": response})


def unsigned(ward: Ward, client: Any, name: str) -> bytes:
    """A request for the id that the server gives for a name before unlocking, badly signed."""
    shown = decode_member_bundle(service_of(client, name).bundle(["password"]))
    asking = BundleRequest(shown.deployment_id, shown.member_id, ward.world.clock())
    return sign_message(asking.encode(), signing_key_from_seed(Secret(bytes(32))))


def hello_of(ward: Ward, client: Any, name: str) -> bytes:
    shown = decode_member_bundle(service_of(client, name).bundle(["password"]))
    said = decode_hello(ward.world.weber.agent.hello())
    return replace(said, member_id=shown.member_id).encode()
