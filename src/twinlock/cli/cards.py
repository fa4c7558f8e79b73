"""A member's smart card on the command line. What it needs is imported when it is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twinlock.cli.terminal import Terminal
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.card.smart_card import SmartCard
    from twinlock.core.factors.smart_card import CardKey

CARD_VARIABLE: Final = "TWINLOCK_CARD"
CardOption = Annotated[
    str | None,
    typer.Option(
        "--card",
        metavar="URI",
        help=f"pkcs11: URI of a smart card and its module; default ${CARD_VARIABLE}.",
        rich_help_panel="Member",
    ),
]


def card_named(uri: str | None) -> str | None:
    """Return the URI of the option, or of the environment."""
    return uri or os.environ.get(CARD_VARIABLE) or None


def smart_card(terminal: Terminal, uri: str | None) -> SmartCard:
    """Return the card that is named; it is looked for, and the PIN asked, when it is used.

    Raises ``card.unnamed``, ``card.not-installed`` or ``token.uri``.
    """
    named = card_named(uri)
    if named is None:
        raise CallerError(
            "card.unnamed",
            "This member opens with a smart card, and none was named.",
            hint=f"Give --card 'pkcs11:token=LABEL?module-path=FILE', or set {CARD_VARIABLE}.",
        )
    try:
        from twinlock.card.smart_card import SmartCard
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("twinlock"):
            raise
        raise CallerError(
            "card.not-installed",
            f"Smart cards need the package {error.name}, which is not installed here.",
            hint="Install it with `pip install 'twinlock[card,cli]'`.",
        ) from error
    return SmartCard(named, lambda: _ask(terminal))


def enrolled_key(card: SmartCard, key_id: str | None) -> tuple[CardKey, bool]:
    """Return the key for a new enrolment, and whether it was made for it.

    ``key_id``: hexadecimal CKA_ID of one that is on the card. Raises ``card.*``.
    """
    if key_id is None:
        return card.generate_key(), True
    try:
        raw = bytes.fromhex(key_id)
    except ValueError as error:
        raise _no_id() from error
    if not raw:
        raise _no_id()
    return card.key(raw), False


def _ask(terminal: Terminal) -> Secret:
    return Secret(terminal.ask_secret("PIN of the smart card: ").encode())


def _no_id() -> CallerError:
    return CallerError(
        "card.key-id",
        "A key id is an even number of hexadecimal digits.",
        hint="`pkcs11-tool --list-objects` shows the ids of a card's keys.",
    )
