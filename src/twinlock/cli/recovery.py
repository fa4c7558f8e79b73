"""Recovery codes on the command line: written once to be printed, read from a person."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from twinlock.agent.recovery import RecoveryCode
from twinlock.cli.terminal import Terminal
from twinlock.core.deployment import PREFIX, DeploymentCard
from twinlock.core.secret import SecretText
from twinlock.errors import CallerError
from twinlock.files import write_private

_TRIES: Final = 3
_PER_LINE: Final = 10
RecoveryEnvOption = Annotated[
    str | None,
    typer.Option(
        "--recovery-env",
        metavar="NAME",
        help="Environment variable with the recovery code; else it is asked for.",
        rich_help_panel="Member",
    ),
]
RecoveryFileOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a recovery code here, to be printed; - shows it."),
]


@dataclass(frozen=True, slots=True)
class Place:
    """What a page has to say beside the code: whose it is, and where it opens something."""

    name: str
    deployment: DeploymentCard
    service: str | None


def ask_recovery_code(terminal: Terminal, variable: str | None, name: str) -> RecoveryCode:
    """Read a recovery code, from an environment variable or from the person, who may mistype it.

    Raises ``factor.recovery-env`` or ``factor.recovery-mistyped``.
    """
    if variable is not None:
        text = os.environ.get(variable)
        if not text:
            raise CallerError(
                "factor.recovery-env",
                f"The environment variable {variable} holds no recovery code.",
                hint="Set it for this command alone, or leave --recovery-env out to be asked.",
            )
        return RecoveryCode(text)
    for _ in range(_TRIES - 1):
        try:
            return RecoveryCode(terminal.ask_secret(f"Recovery code of {name}: "))
        except CallerError as error:
            if error.code != "factor.recovery-mistyped":
                raise
            terminal.say(error.message)
    return RecoveryCode(terminal.ask_secret(f"Recovery code of {name}: "))


def sheet(place: Place, text: SecretText) -> str:
    """Return the page to print. It holds the code."""
    groups = text.reveal().split("-")
    name, service = place.name, place.service or "URL"
    return (
        f"Twinlock recovery code of {name}\n\n"
        f"    {'-'.join(groups[:4])}-\n    {'-'.join(groups[4:])}\n\n"
        f"It opens what the server keeps of {name}, or a copy of {name}.member. Whoever has the\n"
        f"code and gets at one of them is {name}. Print this page, then delete the file.\n\n"
        "On an empty computer, when the other ways in are lost (the code is asked for):\n\n"
        f"    twinlock member recover {name} --service {service} --deployment CARD\n\n"
        "CARD is the deployment's card, which is no secret; a file with these lines will do:\n\n"
        f"{_card_lines(place.deployment)}\n"
        f"Where {name}.member is at hand:\n\n"
        f"    twinlock member enrol {name} --with recovery-code --new-key {name}.new.key\n\n"
        "Without the network, an operator writes what `recover` needs to a file:\n\n"
        f"    twinlock member bundle {name} -o {name}.bundle\n\n"
        "Case, spaces and dashes do not matter.\n"
    )


def write_sheet(path: Path, place: Place, text: SecretText) -> None:
    """Write the page to a new file with mode 0600. Raises ``file.exists``."""
    write_private(path, sheet(place, text).encode(), exclusive=True)


def _card_lines(card: DeploymentCard) -> str:
    """The card in groups of four, as somebody can type it; white space in it does not matter."""
    digits = card.to_text().removeprefix(PREFIX)
    groups = [digits[at : at + 4] for at in range(0, len(digits), 4)]
    rows = [groups[at : at + _PER_LINE] for at in range(0, len(groups), _PER_LINE)]
    return f"    {PREFIX}\n" + "".join(f"    {' '.join(row)}\n" for row in rows)
