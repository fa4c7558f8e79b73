"""Secret sharing on the command line: the extra ``contacts``."""

from __future__ import annotations

from twinlock.core.contacts.sharing import SecretSharing
from twinlock.errors import CallerError


def sharing() -> SecretSharing:
    """Return what splits and combines secrets. Raises CallerError ``contacts.not-installed``."""
    try:
        from twinlock.sharing.shamir import Shamir
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("twinlock"):
            raise
        raise CallerError(
            "contacts.not-installed",
            "Recovery by contacts needs pycryptodome, which is not installed here.",
            hint="Install it with `pip install 'twinlock[contacts,cli]'`.",
        ) from error
    return Shamir()
