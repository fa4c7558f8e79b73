"""Bringing release keys into the token, to seal and to adopt, never in the clear (docs/adr/0003).

A trace of C_CreateObject would show them. So each login gets, at the first use, one AES key
that software and token both know: the import key. It came in under an RSA key pair that was made
in the token for that and died at once, so that no trace and no later PIN leads to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core.ports import Randomness
from twinlock.core.primitives import aes_key_wrap, rsa_oaep_encrypt
from twinlock.core.secret import Secret
from twinlock.token.calls import SessionCalls
from twinlock.token.keys import read_modulus
from twinlock.token.policy import AES_KEY_BYTES, RSA_EXPONENT, transport_public
from twinlock.token.pool import Login, SessionPool
from twinlock.token.profiles import TokenProfile
from twinlock.token.returns import HANDLE_GONE, CallError
from twinlock.token.spki import rsa_spki
from twinlock.token.structures import AES_KEY_WRAP, RSA_OAEP, Attributes, Template

_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class _ImportKey:
    """An AES key that unwraps in the token; a session object of ``login``."""

    login: Login
    handle: int
    value: Secret


@dataclass(frozen=True, slots=True)
class ImportLevels:
    """How the keys of an import are made: RSA private key, import key, release key."""

    private: Attributes
    import_key: Template
    release_key: Template


class ReleaseKeyImport:
    """Unwraps release keys into session objects. Thread-safe; works on after a new login."""

    def __init__(
        self,
        pool: SessionPool,
        profile: TokenProfile,
        levels: ImportLevels,
        randomness: Randomness,
    ) -> None:
        self._pool = pool
        self._profile = profile
        self._levels = levels
        self._randomness = randomness
        self._held: _ImportKey | None = None

    def bring_in(self, work: SessionCalls, release_key: Secret) -> int:
        """Return the handle of ``release_key`` (32 bytes) as an object of ``work``.

        One call, after the first of a login. Raises CallError.
        """
        try:
            return self._unwrap(work, release_key)
        except CallError as failed:
            if failed.value not in HANDLE_GONE:
                raise
        # The main session is gone and the import key with it, though other sessions live on.
        self._held = None
        self._pool.doubt()
        return self._unwrap(work, release_key)

    def _unwrap(self, work: SessionCalls, release_key: Secret) -> int:
        key = self._key()
        wrapped = aes_key_wrap(key.value.reveal(), release_key.reveal())
        return work.unwrap(AES_KEY_WRAP, key.handle, wrapped, self._levels.release_key)

    def _key(self) -> _ImportKey:
        """This login's import key: after a fork or a lost session the login is another."""
        held = self._held
        if held is not None and held.login is self._pool.login():
            return held
        with self._pool.main() as login:
            held = self._held
            if held is None or held.login is not login:
                held = self._held = self._made(login)
            return held

    def _made(self, login: Login) -> _ImportKey:
        value = Secret(self._randomness(AES_KEY_BYTES))
        oaep_hash = self._profile.oaep_hash
        with self._pool.pairing() as session:
            public, private = session.generate_rsa(
                _RSA_BITS, transport_public(), self._levels.private
            )
            spki = rsa_spki(read_modulus(login.calls, public), RSA_EXPONENT)
            block = rsa_oaep_encrypt(spki, oaep_hash, value.reveal())
            into = self._levels.import_key
            handle = login.calls.unwrap(RSA_OAEP[oaep_hash], private, block, into)
        return _ImportKey(login, handle, value)
