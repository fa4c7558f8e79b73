"""``MemoryToken``: the ``Token`` Protocol of ``core.ports`` in software, for tests.

It keeps the same contract as a PKCS#11 token, with the same error codes, and protects nothing:
its keys are in the memory of the process. Under a production configuration it refuses to exist.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Self

from twinlock.core.adopting import (
    Adopting,
    LegacyKey,
    host_dek_refused,
    legacy_key_missing,
    legacy_key_replaced,
)
from twinlock.core.ports import (
    DekOrigin,
    KeyRole,
    Opening,
    OuterSuite,
    Randomness,
    SealingDek,
    TokenKey,
    TransportKey,
    is_symmetric,
)
from twinlock.core.primitives import (
    KEY_SIZE,
    NONCE_SIZE,
    AgreementKey,
    RsaKey,
    SigningKey,
    agreement_key_from_seed,
    gcm_open,
    gcm_seal,
    generate_rsa_key,
    rsa_modulus,
    signing_key_from_seed,
)
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, EnvError, not_authentic
from twinlock.server.config import Config
from twinlock.testing.guard import refuse_production
from twinlock.testing.memory_adopting import MemoryAdopting, StoredLegacyKey
from twinlock.testing.memory_opening import OAEP_HASH, BornDek, HeldKey, MemoryOpening
from twinlock.token.spki import p256_spki

KID_SIZE: Final = 16
_RSA_SIZES: Final = (2048, 3072, 4096)
_SUITE: Final = OuterSuite.RSA_OAEP_SHA256

_made: dict[int, list[RsaKey]] = {}
_making = threading.Lock()


@dataclass(slots=True)
class _Hardware:
    """What stays in the token when a process ends: its serial number and long-lived keys."""

    serial: str
    keys: dict[bytes, HeldKey] = field(default_factory=dict)
    rsa_drawn: dict[int, int] = field(default_factory=dict)
    legacy: list[StoredLegacyKey] = field(default_factory=list)


class MemoryToken:
    """A token in memory. Thread-safe.

    Each object is one process's connection: transport keys and loaded keys are its own. Raises
    CallerError ``testing.production`` under a production configuration.
    """

    def __init__(
        self, config: Config | None = None, *, randomness: Randomness = os.urandom
    ) -> None:
        refuse_production(config)
        self._hardware = _Hardware(f"memory-{randomness(4).hex()}")
        self._randomness = randomness
        self._start()

    def _start(self) -> None:
        self._held: dict[bytes, HeldKey] = {}
        self._transports: dict[bytes, RsaKey] = {}
        self._working: set[MemoryOpening | BornDek] = set()
        self._closed = False

    def reconnect(self) -> Self:
        """Return another process's connection to the same token, as after a restart."""
        refuse_production(None)
        other = type(self).__new__(type(self))
        other._hardware, other._randomness = self._hardware, self._randomness
        other._start()
        return other

    @property
    def name(self) -> str:
        """``memory``."""
        return "memory"

    @property
    def serial(self) -> str:
        """A random serial number."""
        return self._hardware.serial

    @property
    def rsa_oaep_suite(self) -> OuterSuite:
        """RSA-OAEP with SHA-256, as most HSMs have it."""
        return _SUITE

    def generate_key(
        self, role: KeyRole, suite: OuterSuite | None = None, *, rsa_bits: int = 3072
    ) -> TokenKey:
        """Make a persistent key; see ``core.ports.Token``.

        Raises ``token.role-suite`` or ``token.rsa-size``.
        """
        self._check_open()
        if (role is KeyRole.WRAPPING) != (suite is not None):
            raise CallerError(
                "token.role-suite",
                f"A {role.value} key {'needs a' if suite is None else 'has no'} suite.",
                hint="Give a suite exactly when the role is `wrapping`.",
            )
        private = self._new_private(role, suite, rsa_bits)
        key = TokenKey(role, self._randomness(KID_SIZE), _public(private), suite)
        self._hardware.keys[key.kid] = self._held[key.kid] = HeldKey(key, private)
        return key

    def load_keys(self, keys: Iterable[TokenKey]) -> None:
        """Find keys by id and hold them; see ``core.ports.Token``.

        Raises ``token.key-malformed``, ``token.key-missing``, ``token.key-replaced`` or
        ``token.key-policy``.
        """
        self._check_open()
        for key in keys:
            self._held[key.kid] = HeldKey(key, self._found(key).private)

    def destroy_key(self, kid: bytes) -> None:
        """Destroy a loaded long-lived key; see ``core.ports.Token``."""
        self._check_open()
        if kid not in self._held:
            raise _not_loaded(kid, "long-lived")
        del self._held[kid]
        del self._hardware.keys[kid]

    def sign(self, kid: bytes, message: bytes) -> bytes:
        """ECDSA P-256 / SHA-256; r || s, 64 bytes, low s. Raises ``token.key-not-loaded``."""
        self._check_open()
        held = self._held.get(kid)
        if held is None or not isinstance(held.private, SigningKey):
            raise _not_loaded(kid, "signing")
        return held.private.sign(message)

    def evaluate(self, kid: bytes, points: Sequence[bytes]) -> list[bytes]:
        """Multiply points with a hardening key. Raises ``token.key-not-loaded``."""
        self._check_open()
        held = self._held.get(kid)
        if held is None or not isinstance(held.private, AgreementKey):
            raise _not_loaded(kid, "hardening")
        return [held.private.x_of(point) for point in points]

    def seal_verifier(self, kid: bytes, plaintext: Secret, binding: bytes) -> bytes:
        """Lock a login verifier's secrets.

        Raises ``token.key-not-loaded`` or ``token.aad-missing``.
        """
        if not binding:
            raise CallerError(
                "token.aad-missing",
                "A verifier has additional data.",
                hint="Bind every verifier to its account.",
            )
        key, nonce = self._verifier_key(kid), self._randomness(NONCE_SIZE)
        return nonce + gcm_seal(key.reveal(), nonce, plaintext.reveal(), binding)

    def open_verifier(self, kid: bytes, sealed: bytes, binding: bytes) -> Secret:
        """Reverse it. Raises ``data.not-authentic`` or ``token.key-not-loaded``."""
        key = self._verifier_key(kid)
        nonce, ciphertext = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
        return Secret(gcm_open(key.reveal(), nonce, ciphertext, binding))

    def _verifier_key(self, kid: bytes) -> Secret:
        self._check_open()
        held = self._held.get(kid)
        if held is None or held.key.role is not KeyRole.VERIFIER:
            raise _not_loaded(kid, "verifier")
        if not isinstance(held.private, Secret):
            raise _not_loaded(kid, "verifier")
        return held.private

    def generate_transport_key(self, *, rsa_bits: int = 2048) -> TransportKey:
        """Make a transport key pair that dies with this connection. Raises ``token.rsa-size``."""
        self._check_open()
        private, kid = self._new_rsa(rsa_bits), self._randomness(KID_SIZE)
        self._transports[kid] = private
        return TransportKey(kid, private.public, OAEP_HASH[_SUITE])

    def destroy_transport_key(self, kid: bytes) -> None:
        """Destroy a transport key; without effect if it is gone already."""
        self._check_open()
        self._transports.pop(kid, None)

    @contextmanager
    def opening(self, transport_kid: bytes, wrapped_session_key: bytes) -> Iterator[Opening]:
        """Unwrap a release's AES key and open under it; see ``core.ports.Token``."""
        self._check_open()
        private = self._transports.get(transport_kid)
        if private is None:
            raise EnvError(
                "token.transport-gone",
                "The transport key that this release was encrypted to does not exist any more.",
                hint="Ask the member's agent again: the new request names the current key.",
                retryable=True,
            )
        session_key = Secret(private.open(OAEP_HASH[_SUITE], wrapped_session_key))
        if len(session_key) != KEY_SIZE:
            raise not_authentic("session key: wrong length")
        opening = MemoryOpening(self._held.get, session_key)
        with self._lasting(opening):
            yield opening

    @contextmanager
    def sealing(
        self, wrapping_kid: bytes, release_key: Secret, binding: bytes
    ) -> Iterator[SealingDek]:
        """Generate a DEK and lock it twice. Raises ``token.key-not-loaded``."""
        self._check_open()
        held = self._held.get(wrapping_kid)
        if held is None or held.key.role is not KeyRole.WRAPPING:
            raise _not_loaded(wrapping_kid, "token-aes wrapping")
        if not isinstance(held.private, Secret):
            raise _not_loaded(wrapping_kid, "token-aes wrapping")
        born = BornDek(held.private, release_key, binding, self._randomness)
        with self._lasting(born):
            yield born

    def generate_legacy_key(
        self,
        label: str,
        *,
        oaep_hash: str = "sha1",
        mgf_hash: str | None = None,
        oaep_label: bytes = b"",
        unwraps: bool = True,
    ) -> LegacyKey:
        """Make an RSA-2048 key as an application without Twinlock has one, to adopt its data.

        ``unwraps`` false: the key may decrypt only, so that adopting brings its DEKs out.
        """
        self._check_open()
        stored = StoredLegacyKey(self._randomness(8), label, self._new_rsa(2048), unwraps)
        self._hardware.legacy.append(stored)
        return LegacyKey(
            public=stored.private.public,
            cka_id=stored.cka_id,
            label=label,
            oaep_hash=oaep_hash,
            mgf_hash=mgf_hash,
            oaep_label=oaep_label,
        )

    @contextmanager
    def adopting(self, key: LegacyKey, *, allow_host_dek: bool = False) -> Iterator[Adopting]:
        """Work with the key of old data; see ``core.ports.Token``."""
        self._check_open()
        stored = self._found_legacy(key)
        if not stored.unwraps and not allow_host_dek:
            raise host_dek_refused()
        origin = DekOrigin.TOKEN if stored.unwraps else DekOrigin.HOST
        yield MemoryAdopting(key, stored.private, origin, self._held.get, self._randomness)

    def close(self) -> None:
        """End this connection: its transport keys are gone, long-lived keys stay in the token."""
        self._closed = True
        self._transports.clear()
        self._held.clear()

    @property
    def objects(self) -> int:
        """How many keys there are now: long-lived ones, and what lives for a request."""
        return self._long_lived + len(self._transports) + len(self._working)

    @property
    def _long_lived(self) -> int:
        return len(self._hardware.keys) + len(self._hardware.legacy)

    def __repr__(self) -> str:
        return f"MemoryToken({self.serial})"

    @contextmanager
    def _lasting(self, work: MemoryOpening | BornDek) -> Iterator[None]:
        """What is unwrapped or born lives as long as the block."""
        self._working.add(work)
        try:
            yield
        finally:
            self._working.discard(work)
            work.end()

    def _found_legacy(self, key: LegacyKey) -> StoredLegacyKey:
        named = [
            stored
            for stored in self._hardware.legacy
            if (not key.cka_id or stored.cka_id == key.cka_id)
            and (not key.label or stored.label == key.label)
        ]
        for stored in named:
            if rsa_modulus(stored.private.public) == key.modulus:
                return stored
        raise legacy_key_replaced() if named else legacy_key_missing()

    def _found(self, key: TokenKey) -> HeldKey:
        if len(key.kid) != KID_SIZE or (key.public == b"") is not key.symmetric:
            raise CallerError(
                "token.key-malformed",
                "A token key has a 16-byte id, and a public part unless it is an AES key.",
                hint="Take keys from the token directory.",
            )
        stored = self._hardware.keys.get(key.kid)
        if stored is None:
            raise EnvError(
                "token.key-missing",
                f"The token has no {key.role.value} key with the id {key.kid.hex()}.",
                hint="Check that this is the right token, or restore the key from its backup.",
            )
        if stored.key.public != key.public:
            raise EnvError(
                "token.key-replaced",
                f"The {key.role.value} key {key.kid.hex()} is not the one that was pinned.",
                hint="Treat this as an intrusion: somebody with the PIN has changed the token's "
                "keys.",
            )
        if stored.key != key:
            raise EnvError(
                "token.key-policy",
                f"The {key.role.value} key {key.kid.hex()} was made for another use.",
                hint="Make a new key with `twinlock token generate-key` and rotate to it.",
            )
        return stored

    def _new_private(
        self, role: KeyRole, suite: OuterSuite | None, rsa_bits: int
    ) -> SigningKey | AgreementKey | RsaKey | Secret:
        if role is KeyRole.HARDENING:
            return agreement_key_from_seed(Secret(self._randomness(KEY_SIZE)))
        if is_symmetric(role, suite):
            return Secret(self._randomness(KEY_SIZE))
        if suite is None:
            return signing_key_from_seed(Secret(self._randomness(KEY_SIZE)))
        return self._new_rsa(rsa_bits)

    def _new_rsa(self, bits: int) -> RsaKey:
        """Draw a key that this token has not drawn yet; all tokens of a process share them.

        Making one takes a tenth of a second, which no test should pay again.
        """
        if bits not in _RSA_SIZES:
            raise CallerError(
                "token.rsa-size",
                f"RSA keys of {bits} bits are not made.",
                hint=f"Use one of {', '.join(map(str, _RSA_SIZES))}.",
            )
        with _making:
            number = self._hardware.rsa_drawn.get(bits, 0)
            self._hardware.rsa_drawn[bits] = number + 1
            made = _made.setdefault(bits, [])
            if number == len(made):
                made.append(generate_rsa_key(bits))
            return made[number]

    def _check_open(self) -> None:
        if self._closed:
            raise CallerError(
                "token.closed", "This token object was closed.", hint="Connect again."
            )


def _public(private: SigningKey | AgreementKey | RsaKey | Secret) -> bytes:
    if isinstance(private, SigningKey | AgreementKey):
        return p256_spki(private.public) or b""
    return private.public if isinstance(private, RsaKey) else b""


def _not_loaded(kid: bytes, what: str) -> CallerError:
    return CallerError(
        "token.key-not-loaded",
        f"No {what} key with the id {kid.hex()} was loaded.",
        hint="Load it from the token directory first.",
    )
