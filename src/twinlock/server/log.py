"""The operator's log: which check refused what. The client only sees the one opaque face.

Python's own logging, under ``twinlock``: an application decides where it goes. Records are named by
table and DEK id, never by content; causes hold no secrets.
"""

from __future__ import annotations

import logging
from typing import Final

from twinlock.core.context import Context
from twinlock.errors import TwinlockError

_LOG: Final = logging.getLogger("twinlock")
_LOG.addHandler(logging.NullHandler())


def record_refused(context: Context, error: TwinlockError, dek_id: bytes | None = None) -> None:
    """Note a record that was refused, with the cause that the error keeps inside."""
    causes = "; ".join(getattr(error, "__notes__", ()))
    which = dek_id.hex() if dek_id is not None else "unread"
    _LOG.warning(
        "record refused: %s (%s), table %s, DEK %s", error.code, causes, context.table, which
    )


def hardening_limited(what: str, kid: bytes) -> None:
    """Note an attempt beyond a limit: ``account``, ``source`` or ``key``.

    A full key is what spending many accounts' attempts on one victim looks like.
    """
    _LOG.warning("password attempt refused: limit of the %s, hardening key %s", what, kid.hex())


def sign_in_limited(what: str) -> None:
    """Note a try to sign in beyond a limit: ``account`` or ``source``."""
    _LOG.warning("sign-in refused: limit of the %s", what)


def release_refused(error: TwinlockError) -> None:
    """Note a release that was refused."""
    _LOG.warning("release refused: %s", error.code)
