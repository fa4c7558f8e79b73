"""Options of the commands that make ways in, and which one of a member's ways in is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from twinlock.agent.ways import NewWay, WayIn
from twinlock.cli.command import Options
from twinlock.cli.member.making import Asked, Made, Wanted
from twinlock.cli.recovery import RecoveryFileOption
from twinlock.cli.who import Who
from twinlock.core.deployment import DeploymentCard
from twinlock.errors import CallerError

MIN_PREFIX: Final = 4
SHORT_ID: Final = 8
_NEW: Final = "The new way in: all of these together"

CardKeyOption = Annotated[
    str | None,
    typer.Option(metavar="HEX", help="Id of a key that is on the card; else one is made."),
]
LabelOption = Annotated[
    str, typer.Option(metavar="TEXT", help="What you will know it by; the server sees it.")
]
LocalOnlyOption = Annotated[
    bool, typer.Option("--local-only", help="Keep it on this computer, not at the server.")
]
ScramAloneOption = Annotated[
    bool,
    typer.Option(
        "--scram-alone", help="SCRAM without a 128-bit factor: the server could then open it."
    ),
]
SolePasskeyOption = Annotated[
    bool,
    typer.Option(
        "--sole-passkey",
        help="Every way in may need a passkey: lost with the key, or with the account it is in.",
    ),
]
WayArgument = Annotated[
    str, typer.Argument(metavar="WAY", help="A way in: its id's beginning, or its label.")
]
WithoutGroupOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID",
        help="A group that you are in no more by an admin's word, if the server is silent on it.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


@dataclass(frozen=True, slots=True)
class NewFactors(Options):
    """What a new way in is made of."""

    new_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Make this device key file.", rich_help_panel=_NEW),
    ] = None
    new_keyring: Annotated[
        bool,
        typer.Option(
            "--new-keyring", help="A device key in the system's keyring.", rich_help_panel=_NEW
        ),
    ] = False
    new_passphrase: Annotated[
        bool, typer.Option("--new-passphrase", help="Ask for a passphrase.", rich_help_panel=_NEW)
    ] = False
    new_passphrase_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable with the passphrase.", rich_help_panel=_NEW),
    ] = None
    new_password: Annotated[
        bool,
        typer.Option(
            "--new-password",
            help="Ask for a password that the token hardens.",
            rich_help_panel=_NEW,
        ),
    ] = False
    new_password_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable with the password.", rich_help_panel=_NEW),
    ] = None
    new_scram: Annotated[
        bool,
        typer.Option(
            "--new-scram", help="The account's SCRAM password; signs in once.", rich_help_panel=_NEW
        ),
    ] = False
    new_scram_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Variable with the SCRAM password.", rich_help_panel=_NEW
        ),
    ] = None
    new_card: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="Enrol a smart card: its pkcs11: URI.", rich_help_panel=_NEW
        ),
    ] = None
    card_key: CardKeyOption = None
    new_passkey: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN",
            help="Make a passkey, for the host of the browser's agent.",
            rich_help_panel=_NEW,
        ),
    ] = None
    new_recovery: RecoveryFileOption = None
    sign_in: Annotated[
        bool,
        typer.Option(
            "--sign-in",
            help="The password signs in too: hand the server what it compares with.",
            rich_help_panel=_NEW,
        ),
    ] = False
    label: LabelOption = ""
    local_only: LocalOnlyOption = False
    scram_alone: ScramAloneOption = False
    sole_passkey: SolePasskeyOption = False

    def wanted(self, who: Who, pinned: DeploymentCard) -> Wanted:
        """Return the factors that were named."""
        return Wanted(
            name=who.name,
            pinned=pinned,
            key=self.new_key,
            keyring=self.new_keyring,
            passphrase=asked(self.new_passphrase, self.new_passphrase_env),
            password=asked(self.new_password, self.new_password_env),
            scram=asked(self.new_scram, self.new_scram_env),
            sign_in=self.sign_in,
            card=self.new_card,
            card_key=self.card_key,
            passkey=self.new_passkey,
            recovery=self.new_recovery,
            service_url=who.service,
        )

    def way(self, made: Made) -> NewWay:
        """Return the way in that its factors make."""
        return NewWay(made.factors, self.label, False if self.local_only else None)


def asked(wanted: bool, variable: str | None) -> Asked | None:
    """Return what is to be typed, None if neither the option nor its variable was named."""
    return Asked(variable) if wanted or variable is not None else None


def short_id(enrolment_id: bytes) -> str:
    """Return as much of an id as people are shown."""
    return enrolment_id.hex()[:SHORT_ID]


def find_way(ways: Sequence[WayIn], named: str) -> WayIn:
    """Return the way in with this label, or whose id begins so.

    Raises CallerError ``enrolment.unknown`` or ``enrolment.ambiguous``.
    """
    found = [way for way in ways if named and way.listed.label == named]
    if not found and len(named) >= MIN_PREFIX:
        found = [w for w in ways if w.listed.enrolment_id.hex().startswith(named.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise CallerError(
            "enrolment.ambiguous",
            f"{len(found)} ways in are called {named!r}.",
            hint="Name one by its id: " + ", ".join(short_id(w.listed.enrolment_id) for w in found),
        )
    raise CallerError(
        "enrolment.unknown",
        "This member has no such way in.",
        hint="`twinlock member factors` lists them.",
    )
