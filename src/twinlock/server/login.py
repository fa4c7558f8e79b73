"""Split login: a server checks what an agent logs in with (SPEC 26).

What is logged in, and for how long, is the application's. It keeps 32 bytes for each account, which
test no password without the token, and takes new ones whenever a member's password changes.
"""

from __future__ import annotations

from typing import Final

from twinlock.core.login import login_verifier
from twinlock.core.primitives import equal
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

_NOBODY: Final = bytes(32)


def check_login(verifier: bytes | None, member_id: bytes, secret: Secret) -> None:
    """Compare a login secret with the stored verifier, in constant time.

    ``verifier`` is None for an account that does not exist; the same is done and said then. Raises
    CallerError ``login.refused``.
    """
    known = verifier is not None
    same = equal(login_verifier(member_id, secret), _NOBODY if verifier is None else verifier)
    if not (same & known):
        raise CallerError(
            "login.refused",
            "This name and this password do not belong together.",
            hint="Check both and try again.",
        )
