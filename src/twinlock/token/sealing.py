"""Sealing with suite TOKEN_AES: the DEK is born in the token and never leaves it in the clear."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, EnvError
from twinlock.token.calls import SessionCalls
from twinlock.token.ck import Ckr
from twinlock.token.importing import ReleaseKeyImport
from twinlock.token.opening import NONCE_SIZE, WRAPPED_KEY_SIZE
from twinlock.token.policy import SessionTemplates
from twinlock.token.pool import SessionPool
from twinlock.token.profiles import TokenProfile
from twinlock.token.returns import CallError, translating
from twinlock.token.structures import AES_KEY_GEN, AES_KEY_WRAP

_RELEASE_KEY_SIZE: Final = 32


class BornDek:
    """A DEK in the token while its content is encrypted (``core.ports.SealingDek``)."""

    def __init__(self, work: SessionCalls, dek: int, outer: bytes) -> None:
        self._work = work
        self._dek = dek
        self._outer = outer
        self._ended = False
        self._lock = threading.Lock()

    @property
    def outer(self) -> bytes:
        """12-byte nonce || AES-256-GCM(wrapping key, W, aad = binding)."""
        return self._outer

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """AES-256-GCM in the token; returns ciphertext || 16-byte tag."""
        if len(nonce) != NONCE_SIZE or not aad:
            raise CallerError(
                "token.aad-missing",
                "A segment has a 12-byte nonce and additional data.",
                hint="Bind every segment to its context.",
            )
        with self._lock, translating():
            if self._ended:
                raise CallerError(
                    "token.sealing-ended",
                    "This data key is destroyed.",
                    hint="Encrypt inside the `with` block.",
                )
            return self._work.encrypt_gcm(self._dek, nonce, plaintext, aad)

    def end(self) -> None:
        with self._lock:
            self._ended = True


def require_own_nonces(profile: TokenProfile) -> None:
    """Raise EnvError ``token.unsupported`` for a token that chooses its own GCM nonces."""
    if profile.gcm_iv_by_token:
        raise EnvError(
            "token.unsupported",
            f"The profile {profile.name} makes its own GCM nonces: it cannot seal.",
            hint="Use an RSA-OAEP wrapping key on this token.",
        )


@contextmanager
def sealing_dek(
    pool: SessionPool,
    importing: ReleaseKeyImport,
    templates: SessionTemplates,
    wrapping_key: int,
    release_key: Secret,
    binding: bytes,
    randomness: Randomness,
) -> Iterator[BornDek]:
    """Make a DEK, wrap it under ``release_key`` and lock it; all objects die with the context."""
    if len(release_key) != _RELEASE_KEY_SIZE or not binding:
        raise CallerError(
            "token.sealing-arguments",
            "Sealing needs a 32-byte release key and a binding.",
            hint="Take both from the envelope.",
        )
    with translating(), pool.working() as work:
        dek = work.generate_key(AES_KEY_GEN, templates.born_dek)
        imported = importing.bring_in(work, release_key)
        wrapped = work.wrap(AES_KEY_WRAP, imported, dek)
        work.destroy(imported)
        if len(wrapped) != WRAPPED_KEY_SIZE:
            raise CallError(Ckr.FUNCTION_FAILED, "C_WrapKey")
        nonce = randomness(NONCE_SIZE)
        outer = nonce + work.encrypt_gcm(wrapping_key, nonce, wrapped, binding)
        born = BornDek(work, dek, outer)
        try:
            yield born
        finally:
            born.end()
