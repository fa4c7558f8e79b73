"""``twinlock token retire | destroy | relock-verifiers | needed-by``: rotating keys (SPEC 33)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from twinlock.cli.group.history import moment
from twinlock.cli.server_side import needing_server, vault
from twinlock.cli.terminal import Terminal, done, next_steps, table
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.server.vault import Vault

KidArgument = Annotated[str, typer.Argument(metavar="KID", help="The key's id, or its beginning.")]


def needed_by(terminal: Terminal) -> None:
    """Show the hardening and verifier keys, and how many members need each.

    Enrolments that members keep on their own computers alone are not counted: the server does not
    know them.

    [dim]twinlock token needed-by[/dim]
    """
    with needing_server():
        from twinlock.server.rotation import dependents
    with vault(terminal) as opened:
        found = dependents(opened)
    keys = [
        {
            "kid": d.entry.key.kid.hex(),
            "role": d.entry.key.role.value,
            "retiring": d.entry.retiring,
            "not_after": d.entry.not_after,
            "members": list(d.names),
        }
        for d in found
    ]
    rows = [
        [
            d.entry.key.role.value,
            d.entry.key.kid.hex(),
            _state(d.entry.retiring, d.entry.not_after),
            f"{len(d.names)} {_some(d.names)}".rstrip(),
        ]
        for d in found
    ]
    terminal.result({"keys": keys}, table(["role", "id", "state", "needed by"], rows))


def retire(
    terminal: Terminal,
    kid: KidArgument,
    until: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="The day (UTC) at whose end the key ends.")
    ],
) -> None:
    """Let a hardening or verifier key end; it serves what there is until then, and nothing new.

    Members whose password it hardens get a new enrolment at their next sign-in. Whoever does not
    come before the end needs another way in.

    [dim]twinlock token retire 4f2a --until 2027-03-31[/dim]
    """
    with needing_server():
        from twinlock.server.rotation import retire as do
    end = _end_of_day(until)
    with vault(terminal) as opened:
        entry = do(opened, _kid(opened, kid), until=end)
    verifier = entry.key.role.value == "verifier"
    terminal.result(
        {"kid": entry.key.kid.hex(), "role": entry.key.role.value, "not_after": entry.not_after},
        done(f"The {entry.key.role.value} key {entry.key.kid.hex()} ends {moment(end)}."),
        next_steps(
            *(["twinlock token relock-verifiers"] if verifier else []), "twinlock token needed-by"
        ),
    )


def relock_verifiers(terminal: Terminal) -> None:
    """Lock all SCRAM verifiers that are kept here with the newest verifier key.

    Safe to interrupt and to repeat. Verifiers that the application keeps itself are its own to do.

    [dim]twinlock token relock-verifiers[/dim]
    """
    with needing_server():
        from twinlock.server.rotation import relock_verifiers as do
    with vault(terminal) as opened:
        total = len(opened.store.members.all_logins("scram"))
        with terminal.progress("Locking", total) as advance:
            count = do(opened, on_done=lambda: advance(1))
    terminal.result({"relocked": count, "of": total}, done(f"Locked {count} of {total} anew."))


def destroy(
    terminal: Terminal,
    kid: KidArgument,
    losing: Annotated[
        list[str] | None,
        typer.Option(metavar="MEMBER", help="A member who still needs it, and loses that way in."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Destroy a retiring key in the token, for ever, and take it from the directory.

    A copy in a backup of the token lives on: with it and an old database, passwords of then can be
    guessed at that token's speed.

    [dim]twinlock token destroy 4f2a[/dim]
    """
    with needing_server():
        from twinlock.server.rotation import destroy as do
    with vault(terminal) as opened:
        found = _kid(opened, kid)
        if not yes and not terminal.confirm(f"Destroy the key {found.hex()} for ever?"):
            raise CallerError(
                "cli.not-confirmed", "Nothing was destroyed.", hint="Answer y, or give --yes."
            )
        do(opened, found, losing=frozenset(losing or ()))
    terminal.result({"kid": found.hex()}, done(f"Destroyed the key {found.hex()}."))


def _kid(opened: Vault, beginning: str) -> bytes:
    from twinlock.server.rotation import ROLES

    kids = [e.key.kid for e in opened.directory.entries if e.key.role in ROLES]
    found = [kid for kid in kids if beginning and kid.hex().startswith(beginning.lower())]
    if len(found) != 1:
        raise CallerError(
            "directory.no-such-key",
            f"{len(found)} hardening and verifier keys have an id that begins with {beginning!r}.",
            hint="`twinlock token needed-by` shows them.",
        )
    return found[0]


def _end_of_day(text: str) -> int:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise CallerError(
            "directory.retire-when",
            f"{text!r} is no day.",
            hint="Give it as YYYY-MM-DD.",
        ) from error
    return int(day.timestamp()) + 86400


def _state(retiring: bool, not_after: int) -> str:
    if not retiring:
        return "in service"
    return f"ended {moment(not_after)}" if not_after < time.time() else f"until {moment(not_after)}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
