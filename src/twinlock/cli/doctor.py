"""``twinlock doctor``: what the token really does, and whether the deployment holds together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from twinlock.cli.checks import Check, deployment_checks
from twinlock.cli.command import command
from twinlock.cli.failure import EXIT_ENVIRONMENT
from twinlock.cli.init import Wanted
from twinlock.cli.server_side import configuration, connect, needing_server
from twinlock.cli.terminal import Terminal, done, table
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.server.config import Config
    from twinlock.token.report import DoctorReport


def doctor(
    terminal: Terminal,
    token_uri: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Examine this token, before there is a deployment."),
    ] = None,
    pin_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --token-uri: file with the PIN.")
    ] = None,
    pin_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --token-uri: variable with the PIN.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --token-uri: the token's profile.")
    ] = None,
    reserved: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --token-uri: pReserved.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also make persistent keys, and destroy them again.")
    ] = False,
) -> int | None:
    """Try out what a token really does, with known answers and with what it must refuse.

    With a configuration, the deployment is checked too, and it says what a live takeover of this
    server would yield. Exit code 0 only if everything needed holds.

    [dim]twinlock doctor --token-uri 'pkcs11:token=records?module-name=hsm' --pin-file pin[/dim]
    """
    alone = token_uri is not None
    config = _lone(token_uri, pin_file, pin_env, profile, reserved) if alone else None
    settings = config or configuration(terminal)
    report = _examined(terminal, settings, deep)
    checks = [] if alone else deployment_checks(terminal, settings)
    ok = report.usable and all(check.ok is not False for check in checks)
    data: dict[str, Any] = {
        "usable": ok,
        "token": report.to_dict(),
        "deployment": [check.facts() for check in checks],
    }
    terminal.result(data, "\n".join(report.lines()), *_shown(checks, ok))
    return None if ok else EXIT_ENVIRONMENT


def _lone(
    token_uri: str | None,
    pin_file: Path | None,
    pin_env: str | None,
    profile: str | None,
    reserved: str | None,
) -> Config:
    """A configuration of the token alone."""
    if token_uri is None:
        raise CallerError("init.no-token", "No token was named.", hint="Use --token-uri URI.")
    with needing_server():
        return Wanted(
            folder=Path().resolve(),
            token_uri=token_uri,
            pin_file=pin_file,
            pin_env=pin_env,
            profile=profile,
            reserved=reserved,
            sessions=1,
        ).draft()


def _examined(terminal: Terminal, config: Config, deep: bool) -> DoctorReport:
    with needing_server():
        from twinlock.token.doctor import examine
        from twinlock.token.pkcs11_token import Pkcs11Token

    token = cast(Pkcs11Token, connect(config, terminal))
    try:
        with terminal.progress("Trying the token"):
            return examine(token, deep=deep)
    finally:
        token.close()


def _shown(checks: list[Check], ok: bool) -> list[Any]:
    if not checks:
        return []
    marks = {True: "ok", False: "FAILED", None: "note"}
    rows = [[marks[check.ok], check.name, check.detail] for check in checks]
    verdict = done("The deployment holds together.") if ok else "✗ Not everything holds."
    return ["", table(["", "deployment", "finding"], rows), "", verdict]


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "doctor", rich_help_panel=panel)(doctor)
