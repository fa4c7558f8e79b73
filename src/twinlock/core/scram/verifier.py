"""A server's verifier as text, in the form that PostgreSQL keeps in ``pg_authid.rolpassword``."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from twinlock.core.scram.keys import (
    MAX_ITERATIONS,
    MAX_SALT,
    MIN_LOGIN_ITERATIONS,
    MIN_SALT,
    ScramKeys,
)
from twinlock.core.secret import Secret
from twinlock.errors import DataError

_BASE64: Final = r"((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)"
_TEXT: Final = re.compile(
    rf"SCRAM-SHA-256\$([1-9][0-9]{{0,7}}):{_BASE64}\${_BASE64}:{_BASE64}", re.ASCII
)
_KEY_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """Salt and iteration count, which anybody may ask for, and the two keys of 32 bytes."""

    iterations: int
    salt: bytes
    stored_key: Secret
    server_key: Secret

    @classmethod
    def of(cls, keys: ScramKeys, salt: bytes, iterations: int) -> ScramVerifier:
        """Return the verifier of a password's keys."""
        return cls(iterations, salt, keys.stored_key, keys.server_key)

    def to_text(self) -> Secret:
        """Return ``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`` as ASCII."""
        salt, stored, server = map(
            b64encode, (self.salt, self.stored_key.reveal(), self.server_key.reveal())
        )
        return Secret(b"SCRAM-SHA-256$%d:%b$%b:%b" % (self.iterations, salt, stored, server))


def parse_verifier(text: str) -> ScramVerifier:
    """Return a verifier if its text is exactly of that form.

    4,096 to 10,000,000 iterations, a salt of 12 to 64 bytes, keys of 32, base64 in the one form
    that encodes them. Raises DataError ``scram.verifier``; nothing of the text is in it.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise _malformed()
    iterations = int(found[1])
    salt, stored, server = (_decoded(found[group]) for group in (2, 3, 4))
    within = (
        MIN_LOGIN_ITERATIONS <= iterations <= MAX_ITERATIONS
        and MIN_SALT <= len(salt) <= MAX_SALT
        and len(stored) == len(server) == _KEY_SIZE
    )
    if not within:
        raise _malformed()
    return ScramVerifier(iterations, salt, Secret(stored), Secret(server))


def _decoded(text: str) -> bytes:
    raw = b64decode(text, validate=True)
    if b64encode(raw).decode() != text:
        raise _malformed()
    return raw


def _malformed() -> DataError:
    return DataError(
        "scram.verifier",
        "This is no SCRAM-SHA-256 verifier in PostgreSQL's form within the limits.",
        hint="Copy it whole: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey, in base64.",
    )
