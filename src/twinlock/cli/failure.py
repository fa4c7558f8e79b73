"""How a command ends when it fails: one face for people, one for programs, an exit code by family.

2: the caller has to change something. 3: data are not what they must be. 4: the environment
failed. 70: a fault of Twinlock's own. 130: interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Final

import typer
from rich.text import Text

from twinlock.cli.terminal import Terminal, visible, write_stdout
from twinlock.errors import CallerError, DataError, EnvError, TwinlockError

EXIT_CALLER: Final = 2
EXIT_DATA: Final = 3
EXIT_ENVIRONMENT: Final = 4
EXIT_INTERNAL: Final = 70
EXIT_INTERRUPTED: Final = 130

_FAMILIES: Final = (
    (CallerError, EXIT_CALLER),
    (DataError, EXIT_DATA),
    (EnvError, EXIT_ENVIRONMENT),
)


def exit_code(error: TwinlockError) -> int:
    """Return the exit code of an error's family."""
    return next((code for family, code in _FAMILIES if isinstance(error, family)), EXIT_INTERNAL)


def error_facts(error: TwinlockError) -> dict[str, object]:
    """Return an error as programs read it."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": isinstance(error, EnvError) and error.retryable,
    }


def report(failure: BaseException, *, as_json: bool) -> int:
    """Show a failure and return the exit code. A traceback only where TWINLOCK_DEBUG=1 asks."""
    if os.environ.get("TWINLOCK_DEBUG") == "1":
        traceback.print_exception(failure)
    error = _translated(failure)
    if as_json:
        write_stdout(json.dumps({"error": error_facts(error)}, ensure_ascii=False) + "\n")
    else:
        terminal = Terminal()
        terminal.say(
            Text.assemble(("error: ", "bold red"), f"{visible(error.message)} [{error.code}]")
        )
        if error.hint:
            terminal.say(Text.assemble(("hint: ", "bold"), visible(error.hint)))
    return EXIT_INTERNAL if error.code == "internal.unexpected" else exit_code(error)


def _translated(failure: BaseException) -> TwinlockError:
    if isinstance(failure, TwinlockError):
        return failure
    if isinstance(failure, typer.TyperException):
        return CallerError(
            "cli.usage",
            failure.format_message() or "The command is not complete.",
            hint=f"See `{_command_of(failure)} --help`.",
        )
    if isinstance(failure, typer.Abort):
        return CallerError(
            "cli.no-input", "The input ended before the answer.", hint="Run the command again."
        )
    # The exception's own text may quote data, so only its type is shown.
    return EnvError(
        "internal.unexpected",
        f"Internal error: {type(failure).__name__}.",
        hint="This is a fault of Twinlock. Run again with TWINLOCK_DEBUG=1 and report the trace.",
    )


def _command_of(failure: typer.TyperException) -> str:
    context = getattr(failure, "ctx", None)
    return str(getattr(context, "command_path", None) or "twinlock")


def interrupted() -> int:
    """Say that the person interrupted, and return the exit code."""
    sys.stderr.write("\ninterrupted\n")
    return EXIT_INTERRUPTED
