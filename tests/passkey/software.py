"""A CTAP 2.1 authenticator in software: PIN, PIN/UV tokens, hmac-secret, discoverable credentials.

It does what a security key does, with the PIN protocols of python-fido2 turned round, so that what
is tested is everything but the transport (docs/limitations.md: no hardware was tried).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Event
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import ES256
from fido2.ctap import STATUS, CtapDevice, CtapError
from fido2.ctap2.base import Ctap2
from fido2.ctap2.pin import ClientPin, PinProtocolV1, PinProtocolV2
from fido2.hid import CAPABILITY, CTAPHID
from fido2.webauthn import AttestedCredentialData, AuthenticatorData

ERR = CtapError.ERR
FLAG = AuthenticatorData.FLAG
PIN_TRIES = 8
TRIES_IN_A_ROW = 3
Answer = Mapping[Any, Any] | None


@dataclass
class Credential:
    """What an authenticator keeps of one credential; its PRF has one secret for each UV state."""

    rp_id: str
    user: Mapping[str, Any]
    discoverable: bool
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    random_with_uv: bytes = field(default_factory=lambda: os.urandom(32))
    random_without_uv: bytes = field(default_factory=lambda: os.urandom(32))


@dataclass
class Token:
    """A PIN/UV token: what it may be used for, and for which rp_id."""

    value: bytes = field(default_factory=lambda: os.urandom(32))
    permissions: int = 0
    rp_id: str | None = None


@dataclass(eq=False)
class SoftwareAuthenticator(CtapDevice):
    """One authenticator; what tests change of it stands first.

    ``touch`` is called when it waits for a finger, and may raise CtapError. ``forged`` changes the
    flags that it states. ``calls`` are the commands that it got, with their parameters.
    """

    pin: str | None = "1234"
    built_in_uv: bool = False
    always_uv: bool = False
    extensions: tuple[str, ...] = ("hmac-secret",)
    protocols: tuple[int, ...] = (2, 1)
    is_ctap2: bool = True
    has_tokens: bool = True
    room: int | None = None
    counting: bool = True
    touch: Callable[[], None] = lambda: None
    touched_at_last: bool = True
    forged: Callable[[int], int] = lambda flags: flags
    finger: bool = True
    id_size: int = 32
    aaguid: bytes = b"software authen."
    credentials: dict[bytes, Credential] = field(default_factory=dict)
    calls: list[tuple[int, Mapping[int, Any]]] = field(default_factory=list)
    tries: int = PIN_TRIES
    in_a_row: int = 0
    counter: int = 0
    closed: int = 0

    def __post_init__(self) -> None:
        self._agreement = ec.generate_private_key(ec.SECP256R1())
        self._token = Token()

    # --- the transport ----------------------------------------------------------------------------

    @property
    def capabilities(self) -> int:
        return CAPABILITY.CBOR if self.is_ctap2 else 0

    @classmethod
    def list_devices(cls) -> Iterator[CtapDevice]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed += 1

    def replug(self) -> None:
        """Take it out and insert it again."""
        self.in_a_row = 0
        self.__post_init__()

    def call(
        self,
        cmd: int,
        data: bytes = b"",
        event: Event | None = None,
        on_keepalive: Callable[[STATUS], None] | None = None,
    ) -> bytes:
        if cmd != CTAPHID.CBOR or not self.is_ctap2:
            raise CtapError(ERR.INVALID_COMMAND)
        given = cbor.decode(data[1:]) if data[1:] else {}
        assert isinstance(given, Mapping)
        self.calls.append((data[0], given))
        self._wait = (event or Event(), on_keepalive)
        commands: dict[int, Callable[[Any], Answer]] = {
            Ctap2.CMD.GET_INFO: self._info,
            Ctap2.CMD.CLIENT_PIN: self._client_pin,
            Ctap2.CMD.MAKE_CREDENTIAL: self._make_credential,
            Ctap2.CMD.GET_ASSERTION: self._get_assertion,
        }
        try:
            answer = commands[data[0]](given)
        except CtapError as error:
            return bytes([error.code])
        return b"\x00" + (b"" if answer is None else cbor.encode(answer))

    # --- authenticatorGetInfo ---------------------------------------------------------------------

    def _info(self, _: Any) -> Answer:
        options = {"rk": self.room != 0, "up": True, "clientPin": self.pin is not None}
        options |= {"uv": True} if self.built_in_uv else {}
        options |= {"pinUvAuthToken": True} if self.has_tokens else {}
        options |= {"alwaysUv": True} if self.always_uv else {}
        info: dict[int, Any] = {1: ["FIDO_2_0", "FIDO_2_1"], 3: self.aaguid, 4: options, 5: 2048}
        info |= {2: list(self.extensions)} if self.extensions else {}
        info |= {6: list(self.protocols), 7: 8, 8: 1023}
        return info | ({} if self.room is None else {20: self._left})

    @property
    def _left(self) -> int:
        return (self.room or 0) - sum(c.discoverable for c in self.credentials.values())

    # --- authenticatorClientPIN -------------------------------------------------------------------

    def _client_pin(self, given: Mapping[int, Any]) -> Answer:
        command = given[2]
        if command == ClientPin.CMD.GET_PIN_RETRIES:
            return {3: self.tries, 4: self.in_a_row >= TRIES_IN_A_ROW}
        if command == ClientPin.CMD.GET_KEY_AGREEMENT:
            numbers = self._agreement.public_key().public_numbers()
            x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
            return {1: {1: 2, 3: -25, -1: 1, -2: x, -3: y}}
        permissions, rp_id = given.get(9, 3), given.get(10)
        protocol, shared = self._shared(given)
        if command == ClientPin.CMD.GET_TOKEN_USING_UV:
            self._verify_finger()
        else:
            assert command in (5, 9)
            assert (command == 9) == self.has_tokens
            self._verify_pin(protocol.decrypt(shared, given[6]))
        self._token = Token(permissions=permissions, rp_id=rp_id)
        return {2: protocol.encrypt(shared, self._token.value)}

    def _verify_finger(self) -> None:
        if not self.finger:
            raise CtapError(ERR.UV_INVALID)

    def _verify_pin(self, digest: bytes) -> None:
        if self.pin is None:
            raise CtapError(ERR.PIN_NOT_SET)
        if self.tries == 0:
            raise CtapError(ERR.PIN_BLOCKED)
        if self.in_a_row >= TRIES_IN_A_ROW:
            raise CtapError(ERR.PIN_AUTH_BLOCKED)
        self.tries -= 1
        if not hmac.compare_digest(digest, sha256(self.pin.encode()).digest()[:16]):
            self.in_a_row += 1
            self._agreement = ec.generate_private_key(ec.SECP256R1())
            if self.tries == 0:
                raise CtapError(ERR.PIN_BLOCKED)
            paused = self.in_a_row >= TRIES_IN_A_ROW
            raise CtapError(ERR.PIN_AUTH_BLOCKED if paused else ERR.PIN_INVALID)
        self.tries, self.in_a_row = PIN_TRIES, 0

    def _shared(self, given: Mapping[int, Any]) -> tuple[PinProtocolV1, bytes]:
        return self._agreed(given[1], given[3])

    def _agreed(self, version: int, peer: Mapping[int, Any]) -> tuple[PinProtocolV1, bytes]:
        if version not in self.protocols:
            raise CtapError(ERR.INVALID_PARAMETER)
        protocol = PinProtocolV2() if version == 2 else PinProtocolV1()
        x, y = (int.from_bytes(peer[at], "big") for at in (-2, -3))
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        return protocol, protocol.kdf(self._agreement.exchange(ec.ECDH(), public))

    # --- presence and verification ----------------------------------------------------------------

    def _verified(
        self, rp_id: str, digest: bytes, wants_uv: bool, param: bytes | None, version: Any, use: int
    ) -> bool:
        if param is not None:
            protocol = PinProtocolV2() if version == 2 else PinProtocolV1()
            token = self._token
            expected = protocol.authenticate(token.value, digest)
            known = hmac.compare_digest(param, expected) and token.permissions & use
            if not known or token.rp_id not in (None, rp_id):
                raise CtapError(ERR.PIN_AUTH_INVALID)
            return True
        if wants_uv:
            if not self.built_in_uv:
                raise CtapError(ERR.INVALID_OPTION)
            self._verify_finger()
            return True
        if self.always_uv:
            raise CtapError(ERR.PUAT_REQUIRED)
        return False

    def _touched(self) -> None:
        event, on_keepalive = self._wait
        if on_keepalive is not None:
            on_keepalive(STATUS.UPNEEDED)
        self.touch()
        if not self.touched_at_last:
            event.wait()
            raise CtapError(ERR.KEEPALIVE_CANCEL)

    # --- authenticatorMakeCredential --------------------------------------------------------------

    def _make_credential(self, given: Mapping[int, Any]) -> Answer:
        digest, rp_id, user = given[1], given[2]["id"], given[3]
        options = given.get(7, {})
        verified = self._verified(
            rp_id, digest, options.get("uv", False), given.get(8), given.get(9), 1
        )
        if not verified and self.pin is not None:
            raise CtapError(ERR.PUAT_REQUIRED)
        self._touched()
        if any(self._fits(one["id"], rp_id) for one in given.get(5, ())):
            raise CtapError(ERR.CREDENTIAL_EXCLUDED)
        if all(one["alg"] != ES256.ALGORITHM for one in given[4]):
            raise CtapError(ERR.UNSUPPORTED_ALGORITHM)
        made = Credential(rp_id, user, options.get("rk", False))
        if made.discoverable and self.room is not None and self._left <= 0:
            raise CtapError(ERR.KEY_STORE_FULL)
        credential_id = self._keep(made)
        public = ES256.from_cryptography_key(made.key.public_key())
        data = AttestedCredentialData.create(self.aaguid, credential_id, public)
        wanted = given.get(6, {}).get("hmac-secret") and "hmac-secret" in self.extensions
        extensions = {"hmac-secret": True} if wanted else None
        stated = self._stated(rp_id, verified, True, data, extensions)
        signature = made.key.sign(stated + digest, ec.ECDSA(SHA256()))
        return {1: "packed", 2: bytes(stated), 3: {"alg": ES256.ALGORITHM, "sig": signature}}

    def _keep(self, made: Credential) -> bytes:
        """Keep a credential; a discoverable one goes in the place of the same user's other one."""
        for credential_id, other in list(self.credentials.items()):
            same = other.rp_id == made.rp_id and other.user["id"] == made.user["id"]
            if same and other.discoverable and made.discoverable:
                del self.credentials[credential_id]
        credential_id = os.urandom(self.id_size)
        self.credentials[credential_id] = made
        return credential_id

    # --- authenticatorGetAssertion ----------------------------------------------------------------

    def _get_assertion(self, given: Mapping[int, Any]) -> Answer:
        rp_id, digest, options = given[1], given[2], given.get(5, {})
        verified = self._verified(
            rp_id, digest, options.get("uv", False), given.get(6), given.get(7), 2
        )
        if 3 in given:
            found = [one["id"] for one in given[3] if self._fits(one["id"], rp_id)]
        else:
            held = self.credentials.items()
            found = [at for at, one in held if one.rp_id == rp_id and one.discoverable][::-1]
        present = options.get("up", True)
        if present and found:
            self._touched()
        if not found:
            raise CtapError(ERR.NO_CREDENTIALS)
        credential = self.credentials[found[0]]
        extensions = self._secrets(credential, given.get(4, {}).get("hmac-secret"), verified)
        stated = self._stated(rp_id, verified, present, b"", extensions)
        signature = credential.key.sign(stated + digest, ec.ECDSA(SHA256()))
        answer = {1: {"type": "public-key", "id": found[0]}, 2: bytes(stated), 3: signature}
        return answer | ({4: {"id": credential.user["id"]}} if credential.discoverable else {})

    def _fits(self, credential_id: bytes, rp_id: str) -> bool:
        credential = self.credentials.get(credential_id)
        return credential is not None and credential.rp_id == rp_id

    def _secrets(self, credential: Credential, asked: Any, verified: bool) -> Answer:
        if asked is None or "hmac-secret" not in self.extensions:
            return None
        protocol, shared = self._agreed(asked.get(4, 1), asked[1])
        if not hmac.compare_digest(protocol.authenticate(shared, asked[2]), asked[3]):
            raise CtapError(ERR.PIN_AUTH_INVALID)
        salts = protocol.decrypt(shared, asked[2])
        assert len(salts) in (32, 64)
        secret = credential.random_with_uv if verified else credential.random_without_uv
        parts = [salts[at : at + 32] for at in range(0, len(salts), 32)]
        output = b"".join(hmac.digest(secret, part, "sha256") for part in parts)
        return {"hmac-secret": protocol.encrypt(shared, output)}

    def _stated(
        self, rp_id: str, verified: bool, present: bool, credential: bytes, extensions: Answer
    ) -> AuthenticatorData:
        self.counter += self.counting
        flags = FLAG.UP if present else FLAG(0)
        flags |= (FLAG.UV if verified else 0) | (FLAG.AT if credential else 0)
        flags |= FLAG.ED if extensions is not None else 0
        digest = sha256(rp_id.encode()).digest()
        forged = FLAG(self.forged(flags))
        return AuthenticatorData.create(digest, forged, self.counter, credential, extensions)
