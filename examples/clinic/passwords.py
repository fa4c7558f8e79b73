"""Login passwords: scrypt (RFC 7914), as a stand-in for the identity provider of a real clinic.

What signs in is another thing than what opens: a passphrase of Twinlock never reaches this server.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

_COST: Final = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}
_SALT: Final = 16


def hash_password(password: str) -> bytes:
    """Return salt (16 bytes) and scrypt hash (32 bytes)."""
    salt = secrets.token_bytes(_SALT)
    return salt + hashlib.scrypt(password.encode(), salt=salt, **_COST)


def check_password(password: str, stored: bytes | None) -> bool:
    """Say if the password is the stored one. Without one it takes as long, and is wrong."""
    known = stored if stored is not None else bytes(_SALT + 32)
    found = hashlib.scrypt(password.encode(), salt=known[:_SALT], **_COST)
    return hmac.compare_digest(found, known[_SALT:]) and stored is not None
