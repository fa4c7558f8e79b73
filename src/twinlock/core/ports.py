"""What the core needs from the outside: a token and, for content that it decrypts, its results.

Everything here is a Protocol or a frozen value. ``twinlock.token`` implements ``Token`` on
PKCS#11, ``twinlock.testing`` in memory; one contract suite runs on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Protocol

from twinlock.core.secret import Secret
from twinlock.errors import DataError

if TYPE_CHECKING:
    from twinlock.core.adopting import Adopting, LegacyKey

Clock = Callable[[], int]
"""Seconds since the Unix epoch."""

Randomness = Callable[[int], bytes]
"""``n`` uniformly random bytes (``os.urandom`` outside tests)."""


class OuterSuite(IntEnum):
    """How the wrapped DEK is locked to the token. The number stands in the envelope."""

    RSA_OAEP_SHA1 = 1
    RSA_OAEP_SHA256 = 2
    TOKEN_AES = 3


class DekOrigin(IntEnum):
    """Where the DEK of adopted content was while its lock changed. Stands in the envelope."""

    TOKEN = 1
    HOST = 2


class KeyRole(StrEnum):
    """What a long-lived token key guards. Each key has exactly one role and one usage."""

    IDENTITY = "identity"
    LOG = "log"
    AUDIT = "audit"
    WRAPPING = "wrapping"
    HARDENING = "hardening"
    VERIFIER = "verifier"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A long-lived key of the token. ``kid`` is its CKA_ID (16 bytes).

    ``public`` is the DER SubjectPublicKeyInfo, empty for a symmetric key. ``suite`` is set exactly
    for wrapping keys.
    """

    role: KeyRole
    kid: bytes
    public: bytes
    suite: OuterSuite | None = None

    @property
    def symmetric(self) -> bool:
        """Whether it is an AES key: a wrapping key of suite TOKEN_AES, or a verifier key."""
        return is_symmetric(self.role, self.suite)


def is_symmetric(role: KeyRole, suite: OuterSuite | None) -> bool:
    """Tell whether keys of this role and suite are AES keys."""
    return role is KeyRole.VERIFIER or suite is OuterSuite.TOKEN_AES


@dataclass(frozen=True, slots=True)
class TransportKey:
    """A short-lived RSA session key pair of the token; ``public`` is DER SubjectPublicKeyInfo.

    ``oaep_hash`` is ``"sha1"`` or ``"sha256"`` (used for both OAEP and MGF1, empty label).
    """

    kid: bytes
    public: bytes
    oaep_hash: str


@dataclass(frozen=True, slots=True)
class OuterLock:
    """O of one record: ``sealed`` is the RSA-OAEP block, or 12-byte nonce || AES-256-GCM output.

    ``binding`` is the encoded bind_outer: RSA-OAEP compares its SHA-256 with the last 32 of the 72
    decrypted bytes, TOKEN_AES uses it as additional data.
    """

    suite: OuterSuite
    wrapping_kid: bytes
    sealed: bytes
    binding: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """One AES-256-GCM segment: 12-byte nonce, ciphertext || 16-byte tag, non-empty aad."""

    nonce: bytes
    ciphertext: bytes
    aad: bytes


@dataclass(frozen=True, slots=True)
class LegacyPart(Part):
    """A ciphertext of the time before Twinlock, whole; its aad is what it was then, maybe empty.

    Only ``core.adopted`` makes it: what was sealed here has additional data, always.
    """


@dataclass(frozen=True, slots=True)
class DekOpening:
    """What opens one DEK and what it shall decrypt.

    ``wrapped_release_key`` is rk under the release's AES key (RFC 3394, 40 bytes). ``fields`` are
    the values under this DEK, each a sequence of segments in order.
    """

    wrapped_release_key: bytes
    outer: OuterLock
    fields: Sequence[Sequence[Part]]


class OpenDek(Protocol):
    """A DEK inside the token, for values too large to hold."""

    def decrypt(self, part: Part) -> bytes:
        """Decrypt one segment. Raises ``data.not-authentic`` when the tag does not match."""
        ...


class Opening(Protocol):
    """The token while one release is being opened. Everything it unwraps dies with it."""

    def open_many(self, items: Sequence[DekOpening]) -> list[list[bytes] | DataError]:
        """Open every item, in parallel where the token has sessions for it.

        Returns, per item in order, the raw plaintext of each field (segments concatenated), or the
        ``data.not-authentic`` error of that item; one bad record does not hide the others.
        Raises EnvError when the token itself fails.
        """
        ...

    def open_dek(
        self, wrapped_release_key: bytes, outer: OuterLock
    ) -> AbstractContextManager[OpenDek]:
        """Open one DEK for streaming; it is destroyed when the context ends."""
        ...


class SealingDek(Protocol):
    """A DEK that was born in the token (suite TOKEN_AES)."""

    @property
    def outer(self) -> bytes:
        """O: 12-byte nonce || AES-256-GCM(wrapping key, W, aad = binding)."""
        ...

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """AES-256-GCM in the token; returns ciphertext || 16-byte tag."""
        ...


class Token(Protocol):
    """An HSM. Keys and attributes change or go only by the verb that says so."""

    @property
    def name(self) -> str:
        """Profile name, for people: ``softhsm``, ``nss``, ``memory``."""
        ...

    @property
    def serial(self) -> str:
        """The token's serial number."""
        ...

    @property
    def rsa_oaep_suite(self) -> OuterSuite:
        """The RSA-OAEP variant that this token carries."""
        ...

    def generate_key(
        self, role: KeyRole, suite: OuterSuite | None = None, *, rsa_bits: int = 3072
    ) -> TokenKey:
        """Make a persistent key under a fresh random 16-byte CKA_ID, with the attribute policy."""
        ...

    def load_keys(self, keys: Iterable[TokenKey]) -> None:
        """Find keys by CKA_ID, check public part and attributes, and hold them ready.

        Raises ``token.key-missing``, ``token.key-replaced`` or ``token.key-policy``.
        """
        ...

    def destroy_key(self, kid: bytes) -> None:
        """Destroy a loaded long-lived key, for ever. Only an explicit verb of an operator does it.

        Raises ``token.key-not-loaded``.
        """
        ...

    def sign(self, kid: bytes, message: bytes) -> bytes:
        """ECDSA P-256 / SHA-256 with a loaded key; r || s, 64 bytes, low s."""
        ...

    def evaluate(self, kid: bytes, points: Sequence[bytes]) -> list[bytes]:
        """Multiply points with a loaded hardening key; returns the 32-byte x-coordinates.

        ``points`` are uncompressed and were checked (SPEC 24): a token need not do that. Raises
        ``token.key-not-loaded`` for a key that is no hardening key.
        """
        ...

    def seal_verifier(self, kid: bytes, plaintext: Secret, binding: bytes) -> bytes:
        """Lock a login verifier's secrets with a loaded verifier key (SPEC 27).

        Returns 12-byte nonce || AES-256-GCM(key, plaintext, aad = binding). Raises
        ``token.key-not-loaded``, or ``token.unsupported`` on a token that chooses its own nonces.
        """
        ...

    def open_verifier(self, kid: bytes, sealed: bytes, binding: bytes) -> Secret:
        """Reverse ``seal_verifier``. Raises ``data.not-authentic`` or ``token.key-not-loaded``."""
        ...

    def generate_transport_key(self, *, rsa_bits: int = 2048) -> TransportKey:
        """Make a transport key pair as session objects of this process."""
        ...

    def destroy_transport_key(self, kid: bytes) -> None:
        """Destroy a transport key pair; later openings with it raise ``token.transport-gone``."""
        ...

    def opening(
        self, transport_kid: bytes, wrapped_session_key: bytes
    ) -> AbstractContextManager[Opening]:
        """Unwrap a release's AES key (one private-key operation) and open under it.

        Raises ``token.transport-gone``, or ``data.not-authentic`` for a block that does not unwrap.
        """
        ...

    def sealing(
        self, wrapping_kid: bytes, release_key: Secret, binding: bytes
    ) -> AbstractContextManager[SealingDek]:
        """Generate a DEK in the token, wrap it under ``release_key``, lock it (TOKEN_AES)."""
        ...

    def adopting(
        self, key: LegacyKey, *, allow_host_dek: bool = False
    ) -> AbstractContextManager[Adopting]:
        """Work with the key of an application's old data.

        Raises EnvError ``legacy.key-missing`` or ``legacy.key-replaced``, and CallerError
        ``legacy.no-unwrap`` where the key only decrypts and ``allow_host_dek`` is not set.
        """
        ...

    def close(self) -> None:
        """Destroy this process's session objects and log out."""
        ...
