"""A member's passkey on the command line. What it needs is imported when it is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twinlock.cli.terminal import Terminal
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.passkey.passkey import Passkey

PASSKEY_VARIABLE: Final = "TWINLOCK_PASSKEY"
PasskeyOption = Annotated[
    str | None,
    typer.Option(
        "--passkey",
        metavar="DOMAIN",
        help="A passkey on a security key, for the domain of the browser's agent; "
        f"default ${PASSKEY_VARIABLE}.",
        rich_help_panel="Member",
    ),
]


def passkey_named(domain: str | None) -> str | None:
    """Return the domain of the option, or of the environment."""
    return domain or os.environ.get(PASSKEY_VARIABLE) or None


def passkey(terminal: Terminal) -> Passkey:
    """Return the passkeys of the security keys that are connected when one is used.

    The PIN is asked for, and a touch, when the key wants them. Raises ``passkey.not-installed``.
    """
    try:
        from twinlock.passkey.passkey import Passkey
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("twinlock"):
            raise
        raise CallerError(
            "passkey.not-installed",
            f"Passkeys need the package {error.name}, which is not installed here.",
            hint="Install it with `pip install 'twinlock[passkey,cli]'`.",
        ) from error
    return Passkey(
        lambda: Secret(terminal.ask_secret("PIN of the security key: ").encode()),
        touch=lambda: terminal.say("Touch the security key."),
    )
