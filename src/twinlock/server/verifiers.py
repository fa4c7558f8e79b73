"""SCRAM verifiers as ciphertext that only the token unlocks (SPEC 27)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.ports import KeyRole, Token
from twinlock.core.primitives import hmac_sha256
from twinlock.core.scram.keys import SALT_SIZE
from twinlock.core.scram.verifier import ScramVerifier, parse_verifier
from twinlock.core.secret import Secret
from twinlock.core.statements import Directory
from twinlock.errors import DataError, not_authentic

_BLOB: Final = "twinlock/v1/verifier-blob"
_AAD: Final = "twinlock/v1/verifier"
_KEY_SIZE: Final = 32
_DECOY_SALT: Final = b"twinlock/v1/scram-decoy/salt/"


@dataclass(frozen=True, slots=True)
class VerifierLocks:
    """Locks and unlocks verifiers of accounts with the token's verifier keys."""

    deployment_id: bytes
    token: Callable[[], Token]
    directory: Callable[[], Directory]

    def lock(self, account: str, verifier: ScramVerifier | Secret) -> bytes:
        """Return a verifier as ciphertext, to be stored for this account's name.

        A Secret is text in PostgreSQL's form. Raises ``scram.verifier``, ``directory.no-key`` and
        the token's errors.
        """
        if isinstance(verifier, Secret):
            verifier = parse_verifier(verifier.reveal().decode("ascii", "replace"))
        kid = self.directory().current(KeyRole.VERIFIER).kid
        keys = Secret(verifier.stored_key.reveal() + verifier.server_key.reveal())
        binding = self._binding(account, kid, verifier.iterations, verifier.salt)
        sealed = self.token().seal_verifier(kid, keys, binding)
        return cbor.encode([_BLOB, kid, verifier.iterations, verifier.salt, sealed])

    def unlock(self, account: str, locked: bytes) -> ScramVerifier:
        """Unlock an account's verifier.

        Raises DataError ``data.not-authentic`` for one that was changed or is another account's.
        """
        _, kid, iterations, salt, sealed = cbor.decode_labelled(locked, _BLOB, 5)
        kid, salt = cbor.take_bytes(kid, 16), cbor.take_bytes(salt)
        iterations = cbor.take_uint(iterations)
        binding = self._binding(account, kid, iterations, salt)
        if not self._stated(kid):
            raise not_authentic("verifier: its key is stated no more")
        keys = self.token().open_verifier(kid, cbor.take_bytes(sealed), binding).reveal()
        if len(keys) != 2 * _KEY_SIZE:
            raise DataError(
                "scram.verifier",
                "A stored verifier does not hold two keys.",
                hint="Make the account's verifier anew.",
            )
        return ScramVerifier(iterations, salt, Secret(keys[:_KEY_SIZE]), Secret(keys[_KEY_SIZE:]))

    def is_present(self, locked: bytes) -> bool:
        """Return whether new verifiers are locked with the key that this one is."""
        return verifier_kid(locked) == self.directory().current(KeyRole.VERIFIER).kid

    def _stated(self, kid: bytes) -> bool:
        key = self.directory().by_kid(kid)
        return key is not None and key.role is KeyRole.VERIFIER

    def _binding(self, account: str, kid: bytes, iterations: int, salt: bytes) -> bytes:
        return cbor.encode([_AAD, self.deployment_id, account, kid, iterations, salt])


def decoy_salt(secret: Secret, account: str) -> bytes:
    """Return the salt that an account which does not exist has, here and in its enrolments."""
    return hmac_sha256(secret.reveal(), _DECOY_SALT + account.encode())[:SALT_SIZE]


def verifier_kid(locked: bytes) -> bytes:
    """Return the id of the verifier key that a locked verifier needs. Raises ``format.*``."""
    _, kid, *_ = cbor.decode_labelled(locked, _BLOB, 5)
    return cbor.take_bytes(kid, 16)
