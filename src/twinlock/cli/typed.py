"""What a person types that opens something: from an environment variable, or asked for."""

from __future__ import annotations

import os

from twinlock.agent.factors import Passphrase
from twinlock.cli.terminal import Terminal
from twinlock.core.factors.passphrase import PassphraseFactor
from twinlock.errors import CallerError


def typed(
    terminal: Terminal, variable: str | None, what: str, prompt: str, *, confirm: bool = False
) -> str:
    """Return a text. ``what``: a passphrase or a password, for messages.

    Raises ``factor.passphrase-env`` or ``factor.passphrase-mismatch``.
    """
    if variable is not None:
        text = os.environ.get(variable)
        if not text:
            raise CallerError(
                "factor.passphrase-env",
                f"The environment variable {variable} holds no {what}.",
                hint="Set it for this command alone, or leave the option out to be asked.",
            )
        return text
    text = terminal.ask_secret(prompt)
    if confirm and terminal.ask_secret("Once more: ") != text:
        raise CallerError(
            "factor.passphrase-mismatch", f"The two {what}s differ.", hint="Try again."
        )
    return text


def passphrase(
    terminal: Terminal, variable: str | None, prompt: str, *, confirm: bool = False
) -> PassphraseFactor:
    """Return the passphrase factor. Raises like ``typed``."""
    return Passphrase(typed(terminal, variable, "passphrase", prompt, confirm=confirm))
