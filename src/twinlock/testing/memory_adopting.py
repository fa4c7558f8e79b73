"""Adopting old data in ``MemoryToken``: what the hardware does, step by step, in software."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from twinlock.core.adopting import (
    LegacyKey,
    LegacyOpening,
    Rewrap,
    check_dek_size,
    no_such_content,
    no_such_dek,
)
from twinlock.core.ports import DekOrigin, LegacyPart, OuterSuite, Randomness
from twinlock.core.primitives import (
    NONCE_SIZE,
    RsaKey,
    aes_key_unwrap,
    aes_key_wrap,
    gcm_open,
    gcm_seal,
)
from twinlock.core.sealing import rsa_outer
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError
from twinlock.testing.memory_opening import FindKey

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class StoredLegacyKey:
    """A legacy key in the token. ``unwraps``: it has CKA_UNWRAP, not only CKA_DECRYPT."""

    cka_id: bytes
    label: str
    private: RsaKey
    unwraps: bool


@dataclass(frozen=True, slots=True)
class MemoryAdopting:
    """The token at work with one legacy key (``core.adopting.Adopting``)."""

    key: LegacyKey
    private: RsaKey
    origin: DekOrigin
    find_key: FindKey
    randomness: Randomness

    def rewrap_many(self, items: Sequence[Rewrap]) -> list[bytes | DataError]:
        """See ``core.adopting.Adopting``."""
        return [_or_error(self._rewrap, item) for item in items]

    def open_many(self, items: Sequence[LegacyOpening]) -> list[list[bytes] | DataError]:
        """See ``core.adopting.Adopting``."""
        return [_or_error(self._open, item) for item in items]

    def _rewrap(self, item: Rewrap) -> bytes:
        try:
            dek = self._unlocked(item.wrapped_dek)
        except DataError as error:
            raise no_such_dek() from error
        check_dek_size(len(dek))
        wrapped = aes_key_wrap(item.release_key.reveal(), dek.reveal())
        if item.check:
            again = Secret(aes_key_unwrap(item.release_key.reveal(), wrapped))
            try:
                _decrypted(again, item.parts)
            except DataError as error:
                raise no_such_content() from error
        return self._locked(item, wrapped)

    def _open(self, item: LegacyOpening) -> list[bytes]:
        return _decrypted(self._unlocked(item.wrapped_dek), item.parts)

    def _unlocked(self, wrapped_dek: bytes) -> Secret:
        key = self.key
        opened = self.private.open(
            key.oaep_hash, wrapped_dek, mgf_hash=key.mgf, label=key.oaep_label
        )
        return Secret(opened)

    def _locked(self, item: Rewrap, wrapped: bytes) -> bytes:
        suite = item.wrapping.suite
        if suite is None:
            raise CallerError(
                "seal.key", "This token key does not wrap.", hint="Name a wrapping key."
            )
        if suite is not OuterSuite.TOKEN_AES:
            return rsa_outer(item.wrapping, suite, wrapped, item.binding)
        held = self.find_key(item.wrapping.kid)
        if held is None or not isinstance(held.private, Secret):
            raise CallerError(
                "token.key-not-loaded",
                f"No token-aes wrapping key with the id {item.wrapping.kid.hex()} was loaded.",
                hint="Load it from the token directory first.",
            )
        nonce = self.randomness(NONCE_SIZE)
        return nonce + gcm_seal(held.private.reveal(), nonce, wrapped, item.binding)


def _decrypted(dek: Secret, parts: Sequence[LegacyPart]) -> list[bytes]:
    return [gcm_open(dek.reveal(), part.nonce, part.ciphertext, part.aad) for part in parts]


def _or_error(call: Callable[[Item], Result], item: Item) -> Result | DataError:
    try:
        return call(item)
    except DataError as error:
        return error
