"""A server in foreign hands: it writes bundles as it likes, and has the HSM interface or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from attacks.hsm_interface import live_token
from attacks.hsm_loot import Target
from twinlock.core.locks import check_release_key
from twinlock.core.ports import KeyRole, TokenKey, TransportKey
from twinlock.core.primitives import (
    RsaKey,
    aes_key_unwrap,
    generate_rsa_key,
    sha256,
    signing_key_from_seed,
)
from twinlock.core.release import decode_release, split_signed
from twinlock.core.request import (
    Hello,
    RequestBundle,
    RequestMessage,
    decode_bundle,
    decode_hello,
    decode_request,
)
from twinlock.core.secret import Secret
from twinlock.core.statements import Statement, token_key_statement, transport_statement
from twinlock.errors import DataError
from twinlock.server.transport import STATEMENT_LIFE

if TYPE_CHECKING:
    from attacks.places import Place
    from attacks.world import World

Sign = Callable[[bytes], bytes]


@dataclass(slots=True)
class Forger:
    """Forges requests. ``own`` is an RSA key of the attacker's, outside every token."""

    world: World
    own: RsaKey = field(default_factory=lambda: generate_rsa_key(2048))

    @property
    def transport(self) -> TransportKey:
        """The attacker's key, dressed as a transport key."""
        return TransportKey(b"attacker's key id"[:16], self.own.public, "sha1")

    @property
    def hsm_signs(self) -> Sign:
        """The real identity key, through the HSM interface."""
        kid = self.world.vault.directory.identity.kid
        return lambda message: live_token(self.world).sign(kid, message)

    def bundle(self, hello: bytes, *places: Place) -> RequestBundle:
        """A genuine bundle of the honest server, to start from."""
        items = [(place.context, self.world.stored(place)) for place in places]
        return decode_bundle(self.world.vault.request(items, purpose="ward round").bind(hello))

    def statement(
        self, nonce: bytes, sign: Sign, *, begin: int | None = None, life: int = STATEMENT_LIFE
    ) -> Statement:
        """A statement for the attacker's key, signed by whoever ``sign`` is."""
        start = self.world.clock() if begin is None else begin
        raw = transport_statement(
            self.world.config.deployment_id, self.transport, start, start + life, nonce
        )
        return Statement(raw, sign(raw))

    def redirected(self, hello: bytes, sign: Sign, *places: Place) -> RequestBundle:
        """A bundle that has the release encrypted to the attacker's key."""
        nonce = decode_hello(hello).agent_nonce
        return self.with_statement(self.bundle(hello, *places), self.statement(nonce, sign))

    def with_statement(self, bundle: RequestBundle, statement: Statement) -> RequestBundle:
        """Name the attacker's key in request and statement."""
        digest = sha256(self.own.public)
        return replace(
            changed(bundle, transport_kid=self.transport.kid, transport_digest=digest),
            transport=statement,
        )

    def keys_in(self, release: bytes) -> list[bytes]:
        """Release keys in a release that was encrypted to the attacker's key, none otherwise."""
        message = decode_release(split_signed(release)[0])
        try:
            session_key = self.own.open("sha1", message.session_key)
        except DataError:
            return []
        return [aes_key_unwrap(session_key, item.wrapped_release_key) for item in message.items]


def changed(bundle: RequestBundle, **fields: Any) -> RequestBundle:
    """Change fields of a bundle's request."""
    return replace(bundle, request=request_of(bundle, **fields).encode())


def request_of(bundle: RequestBundle, **fields: Any) -> RequestMessage:
    """The request in a bundle, with other fields."""
    return replace(decode_request(bundle.request), **fields)


def lost(keys: Sequence[bytes], targets: Sequence[Target]) -> set[str]:
    """The records whose release keys are among ``keys``, told by rc: names of their places."""
    found = set()
    for target in targets:
        for key in keys:
            try:
                check_release_key(Secret(key), target.dek_id, target.commitment)
            except DataError:
                continue
            found.add(target.place.name)
    return found


@dataclass(frozen=True, slots=True)
class SoftIdentity:
    """An identity key of the attacker's, with a directory that it states."""

    seed: Secret = field(default_factory=lambda: Secret(bytes(range(32))))

    def sign(self, message: bytes) -> bytes:
        """Sign as an identity key would."""
        return signing_key_from_seed(self.seed).sign(message)

    @property
    def public(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        point = signing_key_from_seed(self.seed).public
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        return key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def directory(self, deployment_id: bytes, now: int) -> tuple[Statement, ...]:
        """Identity and log key, both the attacker's."""
        roles = (KeyRole.IDENTITY, KeyRole.LOG)
        keys = [TokenKey(role, role.value.encode().ljust(16), self.public) for role in roles]
        raws = [token_key_statement(deployment_id, k, "1", now, now + 86400) for k in keys]
        return tuple(Statement(raw, self.sign(raw)) for raw in raws)


def hello_of(world: World, name: str) -> tuple[bytes, Hello]:
    """A member's hello, as bytes and decoded."""
    raw = world.agents[name].hello()
    return raw, decode_hello(raw)
