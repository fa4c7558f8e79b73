"""``Pkcs11Token``: the ``Token`` Protocol of ``core.ports`` on a PKCS#11 module."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

from twinlock.core.adopting import Adopting, LegacyKey
from twinlock.core.ports import (
    KeyRole,
    Opening,
    OuterSuite,
    Randomness,
    SealingDek,
    TokenKey,
    TransportKey,
)
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, EnvError, not_authentic
from twinlock.token.adopting import LegacyKeys, Pkcs11Adopting
from twinlock.token.binding import Module, TokenInfo
from twinlock.token.importing import ImportLevels, ReleaseKeyImport
from twinlock.token.keys import KeyRing, is_residue, multiply, read_modulus, sign_with
from twinlock.token.opening import Pkcs11Opening, RecordOpener
from twinlock.token.pin import PinSource, resolve_pin
from twinlock.token.policy import (
    RSA_EXPONENT,
    import_private,
    rewrap_private,
    session_templates,
    transport_private,
    transport_public,
)
from twinlock.token.pool import Login, SessionPool
from twinlock.token.profiles import TokenProfile, detect_profile, profile_named
from twinlock.token.returns import HANDLE_GONE, CallError, refuses_data, translating
from twinlock.token.sealing import require_own_nonces, sealing_dek
from twinlock.token.slots import locate
from twinlock.token.spki import rsa_spki
from twinlock.token.structures import RSA_OAEP
from twinlock.token.uri import TokenUri, parse_uri
from twinlock.token.verifiers import lock_verifier, unlock_verifier

_KID_SIZE: Final = 16
_TRANSPORT_SIZES: Final = (2048, 3072, 4096)


@dataclass(frozen=True, slots=True)
class _Transport:
    private: int
    modulus: bytes


class Pkcs11Token:
    """A token behind PKCS#11. Thread-safe; usable in a forked child, which logs in anew."""

    def __init__(
        self,
        module: Module,
        info: TokenInfo,
        pin: Secret,
        profile: TokenProfile,
        *,
        sessions: int,
        wait_seconds: float,
        randomness: Randomness,
    ) -> None:
        self.module = module
        self.info = info
        self.profile = profile
        self._randomness = randomness
        self._templates = session_templates(profile)
        self._keys = KeyRing(profile, randomness)
        self._opener = RecordOpener(
            self._keys, profile, self._templates, lambda: module.holds(profile.aad_marks)
        )
        self._legacy = LegacyKeys()
        self._transports: dict[bytes, _Transport] = {}
        self._pool = SessionPool(
            module,
            info,
            pin,
            limit=sessions,
            wait_seconds=wait_seconds,
            on_login=self._begin_login,
        )
        templates = self._templates
        sealing = ImportLevels(import_private(profile), templates.import_key, templates.imported)
        rewrap = ImportLevels(
            rewrap_private(profile), templates.rewrap_import, templates.rewrap_key
        )
        self._importing = ReleaseKeyImport(self._pool, profile, sealing, randomness)
        self._rewrap_import = ReleaseKeyImport(self._pool, profile, rewrap, randomness)

    @classmethod
    def connect(
        cls,
        uri: str | TokenUri,
        pin: PinSource | None = None,
        *,
        profile: str | TokenProfile | None = None,
        sessions: int = 8,
        wait_seconds: float = 30.0,
        reserved: str | None = None,
        randomness: Randomness = os.urandom,
    ) -> Self:
        """Load the module, find the one token that the URI means, and log in.

        ``pin`` is a Secret or a callable that asks for one; without it the URI's ``pin-source``
        counts. ``profile`` overrides detection. ``sessions`` bounds the sessions that work at
        once; 1 keeps all work in the caller's thread. ``reserved`` is C_Initialize's pReserved.

        Raises ``token.uri``, ``token.module-unusable``, ``token.not-found``,
        ``token.ambiguous``, ``token.pin-incorrect``, ``token.pin-refused`` and EnvErrors.
        """
        if sessions < 1:
            raise CallerError(
                "token.sessions",
                "A token needs at least one session.",
                hint="Set the number of sessions to 1 or more.",
            )
        wanted = parse_uri(uri) if isinstance(uri, str) else uri
        with translating():
            module, info = locate(wanted, reserved)
            token = cls(
                module,
                info,
                resolve_pin(pin, wanted.pin_source),
                _chosen_profile(profile, info),
                sessions=sessions,
                wait_seconds=wait_seconds,
                randomness=randomness,
            )
            token._pool.login()
        return token

    @property
    def name(self) -> str:
        """The profile's name."""
        return self.profile.name

    @property
    def serial(self) -> str:
        """The token's serial number."""
        return self.info.serial

    @property
    def rsa_oaep_suite(self) -> OuterSuite:
        """The RSA-OAEP suite that the token carries."""
        return self.profile.rsa_oaep_suite

    @property
    def calls(self) -> int:
        """PKCS#11 calls made so far, to compare costs on a network HSM."""
        return self._pool.calls

    @property
    def keys(self) -> KeyRing:
        """The long-lived keys held ready, for ``doctor`` and for those who attack the token."""
        return self._keys

    @property
    def pool(self) -> SessionPool:
        """The token's sessions, for ``doctor``."""
        return self._pool

    def generate_key(
        self, role: KeyRole, suite: OuterSuite | None = None, *, rsa_bits: int = 3072
    ) -> TokenKey:
        """Make, check and hold a persistent key under a fresh random 16-byte CKA_ID.

        Raises ``token.role-suite``, ``token.rsa-size`` or ``token.unsupported``.
        """
        with translating(), self._pool.main() as login:
            return self._keys.generate(login, role, suite, rsa_bits)

    def load_keys(self, keys: Iterable[TokenKey]) -> None:
        """Find keys by CKA_ID, check public part, policy and, by one use, the private part.

        Raises ``token.key-missing``, ``token.key-replaced`` or ``token.key-policy``.
        """
        with translating(), self._pool.main() as login:
            for key in keys:
                self._keys.hold(login, key)

    def destroy_key(self, kid: bytes) -> None:
        """Destroy a loaded long-lived key, for ever; see ``core.ports.Token``."""
        with translating(), self._pool.main() as login:
            self._keys.destroy(login, kid)

    def sign(self, kid: bytes, message: bytes) -> bytes:
        """ECDSA P-256 / SHA-256; r || s, 64 bytes, low s. Raises ``token.key-not-loaded``."""
        with translating(), self._pool.main() as login:
            return sign_with(login.calls, self._keys.signing(kid).handle, message)

    def evaluate(self, kid: bytes, points: Sequence[bytes]) -> list[bytes]:
        """Multiply points with a hardening key, in a session of its own; see ``core.ports.Token``.

        Raises ``token.key-not-loaded`` or ``token.busy``.
        """
        with translating(), self._pool.working() as work:
            handle = self._keys.hardening(kid).handle
            return [multiply(work, handle, point) for point in points]

    def seal_verifier(self, kid: bytes, plaintext: Secret, binding: bytes) -> bytes:
        """Lock a login verifier's secrets, in a session of its own; see ``core.ports.Token``.

        Raises ``token.key-not-loaded``, ``token.unsupported`` or ``token.busy``.
        """
        require_own_nonces(self.profile)
        with translating(), self._pool.working() as work:
            handle = self._keys.verifier(kid).handle
            return lock_verifier(work, handle, plaintext, binding, self._randomness)

    def open_verifier(self, kid: bytes, sealed: bytes, binding: bytes) -> Secret:
        """Reverse it. Raises ``data.not-authentic``, ``token.key-not-loaded`` or ``token.busy``."""
        with translating(), self._pool.working() as work:
            handle = self._keys.verifier(kid).handle
            return unlock_verifier(work, handle, sealed, binding, self.profile)

    def generate_transport_key(self, *, rsa_bits: int = 2048) -> TransportKey:
        """Make a transport key pair as session objects; only the private half is kept."""
        if rsa_bits not in _TRANSPORT_SIZES:
            raise CallerError(
                "token.rsa-size",
                f"Transport keys of {rsa_bits} bits are not made.",
                hint=f"Use one of {', '.join(map(str, _TRANSPORT_SIZES))}.",
            )
        with translating(), self._pool.main() as login:
            public, private = login.session.generate_rsa(
                rsa_bits, transport_public(), transport_private(self.profile)
            )
            modulus = read_modulus(login.calls, public)
            login.calls.destroy(public)
            kid = self._randomness(_KID_SIZE)
            self._transports[kid] = _Transport(private, modulus)
        spki = rsa_spki(modulus, RSA_EXPONENT)
        return TransportKey(kid, spki, self.profile.oaep_hash)

    def destroy_transport_key(self, kid: bytes) -> None:
        """Destroy a transport key; without effect if it is gone already."""
        with translating(), self._pool.main() as login:
            transport = self._transports.pop(kid, None)
            if transport is not None:
                login.calls.destroy(transport.private)

    @contextmanager
    def opening(self, transport_kid: bytes, wrapped_session_key: bytes) -> Iterator[Opening]:
        """Unwrap a release's AES key and open under it; see ``core.ports.Token``."""
        with translating(), self._pool.holding() as work:
            transport = self._transport(transport_kid)
            if not is_residue(wrapped_session_key, transport.modulus):
                raise not_authentic("session key: no block of this transport key")
            mechanism = RSA_OAEP[self.profile.oaep_hash]
            template = self._templates.session_key
            try:
                key = work.unwrap(mechanism, transport.private, wrapped_session_key, template)
            except CallError as failed:
                if failed.value in HANDLE_GONE:
                    self._pool.doubt()
                    raise _transport_gone() from failed
                if refuses_data(failed, self.profile.refusals):
                    raise not_authentic(str(failed)) from failed
                raise
            opening = Pkcs11Opening(self._pool, self._opener, key)
            try:
                yield opening
            finally:
                opening.end()

    @contextmanager
    def sealing(
        self, wrapping_kid: bytes, release_key: Secret, binding: bytes
    ) -> Iterator[SealingDek]:
        """Generate a DEK in the token and lock it twice; see ``core.ports.Token``.

        Raises ``token.key-not-loaded``, or ``token.unsupported`` on a token that chooses its own
        GCM nonces.
        """
        require_own_nonces(self.profile)
        with translating():
            self._pool.login()
        held = self._keys.wrapping_aes(wrapping_kid)
        with sealing_dek(
            self._pool,
            self._importing,
            self._templates,
            held.handle,
            release_key,
            binding,
            self._randomness,
        ) as dek:
            yield dek

    @contextmanager
    def adopting(self, key: LegacyKey, *, allow_host_dek: bool = False) -> Iterator[Adopting]:
        """Work with the key of old data; see ``core.ports.Token``.

        Beside the errors named there, EnvError ``token.unsupported`` where the token has not this
        key's OAEP: SoftHSM 2.6.1 knows SHA-1 without label only.
        """
        with translating():
            with self._pool.main() as login:
                held = self._legacy.held(login, key)
            yield Pkcs11Adopting(
                self._pool,
                self._opener,
                self._rewrap_import,
                held,
                held.origin(allow_host_dek),
                self._randomness,
            )

    def close(self) -> None:
        """Destroy this process's session objects and log out."""
        self._transports.clear()
        self._pool.close()

    def _begin_login(self, login: Login) -> None:
        """After each login: transport keys died with the old session, handles may be others."""
        self._transports = {}
        self._legacy.forget()
        self._keys.refresh(login)

    def _transport(self, kid: bytes) -> _Transport:
        transport = self._transports.get(kid)
        if transport is None:
            raise _transport_gone()
        return transport


def _chosen_profile(profile: str | TokenProfile | None, info: TokenInfo) -> TokenProfile:
    if profile is None:
        return detect_profile(info.manufacturer, info.model)
    return profile_named(profile) if isinstance(profile, str) else profile


def _transport_gone() -> EnvError:
    return EnvError(
        "token.transport-gone",
        "The transport key that this release was encrypted to does not exist any more.",
        hint="Ask the member's agent again: the new request names the current key.",
        retryable=True,
    )
