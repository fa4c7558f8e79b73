"""Recovery codes on the command line: written once to be printed, read from a person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from twinlock.agent.recovery import RecoveryCode
from twinlock.cli.terminal import Terminal
from twinlock.core.secret import SecretText
from twinlock.errors import CallerError
from twinlock.files import write_private

_TRIES: Final = 3
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


def sheet(name: str, text: SecretText) -> str:
    """Return the page to print. It holds the code."""
    groups = text.reveal().split("-")
    return (
        f"Twinlock recovery code of {name}\n\n"
        f"    {'-'.join(groups[:4])}-\n    {'-'.join(groups[4:])}\n\n"
        f"It opens a copy of {name}.member, which has to be kept too, and nothing else.\n"
        f"Whoever has both is {name}. Print this page, then delete the file.\n\n"
        "When the other ways in are lost:\n\n"
        f"    twinlock member add-enrolment {name} --new-key {name}.new.key\n\n"
        "asks for the code. Case, spaces and dashes do not matter.\n"
    )


def write_sheet(path: Path, name: str, text: SecretText) -> None:
    """Write the page to a new file with mode 0600. Raises ``file.exists``."""
    write_private(path, sheet(name, text).encode(), exclusive=True)
