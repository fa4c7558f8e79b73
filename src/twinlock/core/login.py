"""Split login: an application's own login from the value that the token hardened (SPEC 26).

Login secret and key secret come from one hardened value under different labels, so that a server
that checks the one learns nothing of the other.
"""

from __future__ import annotations

from typing import Final

from twinlock.core.primitives import hkdf_expand, sha256
from twinlock.core.secret import Secret

_LOGIN: Final = b"twinlock/v1/login"
_VERIFIER: Final = b"twinlock/v1/login-verifier"


def login_secret(hardened: Secret) -> Secret:
    """Return the 32 bytes to log in with, from the output of the factor ``password``."""
    return Secret(hkdf_expand(hardened.reveal(), _LOGIN))


def login_verifier(member_id: bytes, secret: Secret) -> bytes:
    """Return the 32 bytes that a server keeps.

    Without the token's hardening key they test no password: that takes the login secret, which
    comes from an evaluation.
    """
    return sha256(_VERIFIER, member_id, secret.reveal())
