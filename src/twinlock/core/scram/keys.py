"""The keys of one password under one salt and iteration count (RFC 5802 section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core.primitives import hmac_sha256, pbkdf2_sha256, sha256
from twinlock.core.scram.saslprep import invalid, prepare
from twinlock.core.secret import Secret

SALT_SIZE: Final = 16
MIN_SALT: Final = 12
MAX_SALT: Final = 64
MIN_LOGIN_ITERATIONS: Final = 4096
"""RFC 7677 section 4, and PostgreSQL's default: enough to log in, not for a factor."""
MIN_ITERATIONS: Final = 600_000
MAX_ITERATIONS: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """ClientKey and ServerKey, 32 bytes each."""

    client_key: Secret
    server_key: Secret

    @property
    def stored_key(self) -> Secret:
        """StoredKey: SHA-256 of ClientKey."""
        return Secret(sha256(self.client_key.reveal()))


def scram_keys(text: str, salt: bytes, iterations: int) -> ScramKeys:
    """Derive the keys of a password: SASLprep, PBKDF2, two HMACs.

    Raises CallerError ``factor.passphrase-invalid``.
    """
    prepared = prepare(text)
    # Error reporters send the local variables of every frame that an error passes through.
    del text
    if prepared is None:
        raise invalid()
    salted = pbkdf2_sha256(prepared.encode(), salt, iterations).reveal()
    return ScramKeys(
        Secret(hmac_sha256(salted, b"Client Key")), Secret(hmac_sha256(salted, b"Server Key"))
    )
