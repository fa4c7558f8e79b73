"""What adopting old data needs of a token: the old key, and a way from its lock to new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from twinlock.core.ports import DekOrigin, LegacyPart, TokenKey
from twinlock.core.primitives import rsa_modulus
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, EnvError

OAEP_HASHES: Final = ("sha1", "sha256")


@dataclass(frozen=True, kw_only=True)
class LegacyKey:
    """The RSA key that an application's DEKs are encrypted to, and how (RFC 8017 section 7.1).

    ``public``: DER SubjectPublicKeyInfo; the token's key is checked against it. ``cka_id`` or
    ``label`` find it there, or both. ``oaep_hash`` and ``mgf_hash``: ``"sha1"`` or ``"sha256"``;
    without ``mgf_hash`` MGF1 has the hash of OAEP. ``oaep_label``: mostly empty.

    Raises CallerError ``legacy.key``, DataError ``key.malformed``.
    """

    public: bytes
    cka_id: bytes | None = None
    label: str | None = None
    oaep_hash: str = "sha1"
    mgf_hash: str | None = None
    oaep_label: bytes = b""

    def __post_init__(self) -> None:
        if not self.cka_id and not self.label:
            raise _invalid("has neither CKA_ID nor label")
        if self.oaep_hash not in OAEP_HASHES or self.mgf not in OAEP_HASHES:
            raise _invalid("has an OAEP hash that is neither sha1 nor sha256")
        rsa_modulus(self.public)

    @property
    def mgf(self) -> str:
        """MGF1's hash."""
        return self.mgf_hash or self.oaep_hash

    @cached_property
    def modulus(self) -> bytes:
        """The public modulus, big-endian without leading zeros."""
        return rsa_modulus(self.public)


@dataclass(frozen=True, slots=True)
class Rewrap:
    """One DEK that gets new locks.

    ``wrapped_dek`` is its old lock, ``release_key`` the new inner one's key; the outer lock is made
    to ``wrapping``, bound to ``binding``. ``parts`` is what the DEK opens; with ``check`` each is
    decrypted under what came out, and the plaintext thrown away.
    """

    wrapped_dek: bytes
    release_key: Secret
    wrapping: TokenKey
    binding: bytes
    parts: Sequence[LegacyPart]
    check: bool = True


@dataclass(frozen=True, slots=True)
class LegacyOpening:
    """One DEK under its old lock, and what it shall decrypt."""

    wrapped_dek: bytes
    parts: Sequence[LegacyPart]


class Adopting(Protocol):
    """The token while it works with one legacy key."""

    @property
    def origin(self) -> DekOrigin:
        """TOKEN where the key unwraps; HOST where it only decrypts, so that DEKs come out."""
        ...

    def rewrap_many(self, items: Sequence[Rewrap]) -> list[bytes | DataError]:
        """Return O for every item, or why there is none. Works in the caller's thread.

        The items' own errors: ``legacy.dek`` (the old lock does not open), ``legacy.dek-size``,
        ``legacy.content`` (the content does not decrypt). Raises EnvError ``legacy.aad-empty``,
        ``token.*`` or CallerError ``token.key-not-loaded`` for all of them.
        """
        ...

    def open_many(self, items: Sequence[LegacyOpening]) -> list[list[bytes] | DataError]:
        """Return the plaintexts of every item, or its ``data.not-authentic``. Raises EnvError."""
        ...


def check_dek_size(size: int) -> None:
    """Raise DataError ``legacy.dek-size`` unless a DEK has 32 bytes."""
    if size != 32:
        raise DataError(
            "legacy.dek-size",
            f"This row's DEK has {size} bytes; only AES-256 keys of 32 bytes are rewrapped.",
            hint="Reseal these rows: their content gets a key of its own.",
        )


def no_such_dek() -> DataError:
    """Return the error of an old lock that does not open."""
    return DataError(
        "legacy.dek",
        "This row's DEK does not open with the legacy key.",
        hint="Check the key's name, OAEP hashes and label; the row may be damaged or foreign.",
    )


def no_such_content() -> DataError:
    """Return the error of content that its DEK does not decrypt."""
    return DataError(
        "legacy.content",
        "This row's content does not decrypt under its DEK.",
        hint="Check nonce, tag and additional data in the layout; the row may be damaged.",
    )


def host_dek_refused() -> CallerError:
    """Return the error of a legacy key that would bring DEKs into the host."""
    return CallerError(
        "legacy.no-unwrap",
        "The legacy key may not unwrap in the token, so every DEK would come into this process.",
        hint="Have CKA_UNWRAP set on the key, or allow it for this run: --allow-host-dek.",
    )


def legacy_key_missing() -> EnvError:
    """Return the error of a legacy key that is not in the token."""
    return EnvError(
        "legacy.key-missing",
        "The token has no RSA private key with the legacy key's CKA_ID or label.",
        hint="Look at the token's objects; the key may have been taken off this token already.",
    )


def legacy_key_replaced() -> EnvError:
    """Return the error of a key in the token that is not the one whose public half is given."""
    return EnvError(
        "legacy.key-replaced",
        "The token's key of this CKA_ID or label is not the legacy key whose public half is given.",
        hint="Check the file with the public key; if it is right, the token holds another key.",
    )


def _invalid(why: str) -> CallerError:
    return CallerError(
        "legacy.key", f"This legacy key {why}.", hint="Look at its entry in the configuration."
    )
