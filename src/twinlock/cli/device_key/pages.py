"""Printed device keys on the command line: typed row by row, and read from the environment."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from twinlock.agent.device_keys import rows
from twinlock.cli.terminal import Terminal
from twinlock.core.device_key_backup import PRINTED_DEVICE_KEY
from twinlock.core.printed import GROUP_SIZE, pieces
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

_TRIES: Final = 3
PageEnvOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Environment variable with the page's rows; else they are asked for."
    ),
]


def ask_printed_key(terminal: Terminal, variable: str | None) -> Secret:
    """Read a printed device key: from an environment variable, or row by row from the person.

    Each row is checked before the next is asked for; the first answer may hold all of them. Raises
    ``device-key.page-env``, ``device-key.mistyped`` or ``cli.no-terminal``.
    """
    if variable is not None:
        text = os.environ.get(variable)
        if not text:
            raise CallerError(
                "device-key.page-env",
                f"The environment variable {variable} holds no rows of a page.",
                hint="Set it for this command alone, or leave --page-env out to be asked.",
            )
        return PRINTED_DEVICE_KEY.read(text)
    typed: list[str] = []
    for number, (first, count) in enumerate(rows(), 1):
        typed.append(_ask_row(terminal, number, first, count))
        if _is_whole(typed[-1]):
            break
    return PRINTED_DEVICE_KEY.read(" ".join(typed))


def _ask_row(terminal: Terminal, number: int, first: int, count: int) -> str:
    for left in reversed(range(_TRIES)):
        text = terminal.ask_secret(f"Row {number}: ")
        if number == 1 and _is_whole(text):
            return text
        try:
            PRINTED_DEVICE_KEY.check_row(text, first, count)
        except CallerError as error:
            if not left:
                raise
            terminal.say(error.message)
        else:
            break
    return text


def _is_whole(text: str) -> bool:
    return len("".join(pieces(text))) == PRINTED_DEVICE_KEY.groups * GROUP_SIZE
