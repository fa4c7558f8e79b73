"""Opening and sealing in ``MemoryToken``: what the hardware does, step by step, in software.

Order and outcome of every check are those of ``twinlock.token``; the contract suite compares them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from twinlock.core.ports import (
    DekOpening,
    LegacyPart,
    OpenDek,
    OuterLock,
    OuterSuite,
    Part,
    Randomness,
    TokenKey,
)
from twinlock.core.primitives import (
    KEY_SIZE,
    NONCE_SIZE,
    TAG_SIZE,
    AgreementKey,
    RsaKey,
    SigningKey,
    aes_key_unwrap,
    aes_key_wrap,
    equal,
    gcm_open,
    gcm_seal,
    sha256,
)
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, not_authentic

WRAPPED_KEY_SIZE: Final = KEY_SIZE + 8
OAEP_HASH: Final = {OuterSuite.RSA_OAEP_SHA1: "sha1", OuterSuite.RSA_OAEP_SHA256: "sha256"}


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A long-lived key and its private part."""

    key: TokenKey
    private: SigningKey | AgreementKey | RsaKey | Secret


FindKey = Callable[[bytes], HeldKey | None]
"""Finds a loaded key by its id."""


class MemoryOpening:
    """One release being opened (``core.ports.Opening``)."""

    def __init__(self, find_key: FindKey, session_key: Secret) -> None:
        self._find_key = find_key
        self._session_key: Secret | None = session_key

    def end(self) -> None:
        """Destroy the release's AES key."""
        self._session_key = None

    def open_many(self, items: Sequence[DekOpening]) -> list[list[bytes] | DataError]:
        """See ``core.ports.Opening``."""
        session_key = self._live()
        return [self._open(session_key, item) for item in items]

    @contextmanager
    def open_dek(self, wrapped_release_key: bytes, outer: OuterLock) -> Iterator[OpenDek]:
        """See ``core.ports.Opening``."""
        stream = StreamedDek(self._unwrap_dek(self._live(), wrapped_release_key, outer))
        try:
            yield stream
        finally:
            stream.end()

    def _open(self, session_key: Secret, item: DekOpening) -> list[bytes] | DataError:
        try:
            dek = self._unwrap_dek(session_key, item.wrapped_release_key, item.outer)
            return [b"".join(open_part(dek, part) for part in field) for field in item.fields]
        except DataError as error:
            return error

    def _unwrap_dek(
        self, session_key: Secret, wrapped_release_key: bytes, outer: OuterLock
    ) -> Secret:
        release_key = aes_key_unwrap(session_key.reveal(), wrapped_release_key)
        return Secret(aes_key_unwrap(release_key, self._unlock_outer(outer)))

    def _unlock_outer(self, outer: OuterLock) -> bytes:
        """Return W from O."""
        held = self._find_key(outer.wrapping_kid)
        if held is None or held.key.suite is not outer.suite:
            raise DataError(
                "data.wrapping-key-unknown",
                f"This record names a wrapping key that is not loaded: {outer.wrapping_kid.hex()}.",
                hint="Load the key from the token directory if it is yours.",
            )
        sealed = outer.sealed
        match held.private:
            case RsaKey():
                block = held.private.open(OAEP_HASH[outer.suite], sealed)
                if not equal(block[WRAPPED_KEY_SIZE:], sha256(outer.binding)):
                    raise not_authentic("outer lock: does not belong to this record")
                return block[:WRAPPED_KEY_SIZE]
            case Secret():
                nonce, ciphertext = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
                return gcm_open(held.private.reveal(), nonce, ciphertext, outer.binding)
            case SigningKey() | AgreementKey():
                raise not_authentic("outer lock: names a key that does not wrap")

    def _live(self) -> Secret:
        if self._session_key is None:
            raise CallerError(
                "token.opening-ended",
                "This opening has ended; its keys are destroyed.",
                hint="Open records inside the `with` block.",
            )
        return self._session_key


class StreamedDek:
    """One DEK kept open for streaming (``core.ports.OpenDek``)."""

    def __init__(self, dek: Secret) -> None:
        self._dek: Secret | None = dek

    def end(self) -> None:
        """Destroy the DEK."""
        self._dek = None

    def decrypt(self, part: Part) -> bytes:
        """See ``core.ports.OpenDek``."""
        dek = self._dek
        if dek is None:
            raise CallerError(
                "token.opening-ended",
                "This data key is destroyed.",
                hint="Read the value inside the `with` block.",
            )
        return open_part(dek, part)


class BornDek:
    """A DEK that was born in the token (``core.ports.SealingDek``)."""

    def __init__(
        self, wrapping_key: Secret, release_key: Secret, binding: bytes, randomness: Randomness
    ) -> None:
        if len(release_key) != KEY_SIZE or not binding:
            raise CallerError(
                "token.sealing-arguments",
                "Sealing needs a 32-byte release key and a binding.",
                hint="Take both from the envelope.",
            )
        dek = Secret(randomness(KEY_SIZE))
        wrapped = aes_key_wrap(release_key.reveal(), dek.reveal())
        nonce = randomness(NONCE_SIZE)
        self._outer = nonce + gcm_seal(wrapping_key.reveal(), nonce, wrapped, binding)
        self._dek: Secret | None = dek
        self._lock = threading.Lock()

    @property
    def outer(self) -> bytes:
        """12-byte nonce || AES-256-GCM(wrapping key, W, aad = binding)."""
        return self._outer

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """AES-256-GCM; returns ciphertext || 16-byte tag."""
        if len(nonce) != NONCE_SIZE or not aad:
            raise _aad_missing("A segment has a 12-byte nonce and additional data.")
        with self._lock:
            if self._dek is None:
                raise CallerError(
                    "token.sealing-ended",
                    "This data key is destroyed.",
                    hint="Encrypt inside the `with` block.",
                )
            return gcm_seal(self._dek.reveal(), nonce, plaintext, aad)

    def end(self) -> None:
        """Destroy the DEK."""
        with self._lock:
            self._dek = None


def open_part(dek: Secret, part: Part) -> bytes:
    """Decrypt one segment, or one ciphertext of before.

    Raises ``data.not-authentic`` or CallerError ``token.aad-missing``.
    """
    if not part.aad and not isinstance(part, LegacyPart):
        raise _aad_missing("A segment without additional data is not decrypted.")
    if len(part.ciphertext) < TAG_SIZE:
        raise not_authentic("segment: too short")
    return gcm_open(dek.reveal(), part.nonce, part.ciphertext, part.aad)


def _aad_missing(message: str) -> CallerError:
    return CallerError("token.aad-missing", message, hint="Bind every segment to its context.")
