"""``twinlock release``: the member looks at a request, and answers it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.agent.examine import ExaminedRequest
from twinlock.cli.command import command
from twinlock.cli.member.notices import warn_of_notices
from twinlock.cli.member_side import unlock
from twinlock.cli.messages import OutputOption, read_message, write_message
from twinlock.cli.terminal import Terminal, done, next_steps, one_line
from twinlock.cli.who import AsOption, Using, Who
from twinlock.errors import CallerError, DataError


def release(
    terminal: Terminal,
    as_member: AsOption,
    output: OutputOption,
    request: Annotated[
        Path | None, typer.Argument(metavar="REQUEST", help="A request to answer.")
    ] = None,
    help_request: Annotated[
        Path | None,
        typer.Option(metavar="ASSIST", help="Help another member with it: write a share."),
    ] = None,
    share: Annotated[
        list[Path] | None,
        typer.Option(metavar="SHARE", help="Another member's help with an AND lock; repeat it."),
    ] = None,
    expect_table: Annotated[
        list[str] | None,
        typer.Option(metavar="T", help="Refuse a request for anything else; repeat it."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Release what was shown without asking.")
    ] = False,
    approve: Annotated[
        bool,
        typer.Option("--approve", help="Also approve what a budget or a group's policy asks."),
    ] = False,
    using: Using = Using(),
) -> None:
    """Look at a request, checked, and release its records or help another member with them.

    Needs neither token nor database. A budget that is spent, or a group that wants a click, is
    asked about by itself.

    [dim]twinlock release request.twl --as weber -o release.twl[/dim]

    [dim]twinlock release --help-request assist.twl --as officer -o share.twl[/dim]
    """
    who = Who.of(as_member, using)
    if (request is None) == (help_request is None):
        raise CallerError(
            "release.what", "Name a request to answer, or --help-request.", hint="One of the two."
        )
    if help_request is not None:
        _help(terminal, who, read_message(help_request, "request"), output, expect_table, yes)
    elif request is not None:
        shares = [read_message(path, "share") for path in share or []]
        raw = read_message(request, "request")
        _release(terminal, who, raw, shares, output, expect_table, yes, approve)


def _release(
    terminal: Terminal,
    who: Who,
    raw: bytes,
    shares: Sequence[bytes],
    output: Path,
    expect: Sequence[str] | None,
    yes: bool,
    approve: bool,
) -> None:
    with unlock(terminal, who) as agent:
        examined = agent.examine(raw)
        warn_of_notices(terminal, agent)
        _require_tables(examined, expect)
        count = len(examined.records)
        _ask(terminal, examined.describe(), f"Release these {count} records?", yes)

        def approves(_request: ExaminedRequest, reason: str) -> bool:
            if approve:
                terminal.say(f"Approved: {reason}.")
            return approve or terminal.confirm(f"{reason}. Approve?")

        answer = agent.release(raw, shares=shares, approve=approves)
    write_message(output, answer.to_bytes())
    if str(output) == "-":
        return
    data: dict[str, Any] = {
        "output": str(output),
        "member": who.name,
        "purpose": examined.message.purpose,
        "records": count,
        "tables": sorted({record.context.table for record in examined.records}),
    }
    terminal.result(
        data,
        done(f"Wrote {output}: {count} record(s) released."),
        next_steps(f"twinlock open request.twl {output}     (server)"),
    )


def _help(
    terminal: Terminal,
    who: Who,
    raw: bytes,
    output: Path,
    expect: Sequence[str] | None,
    yes: bool,
) -> None:
    with unlock(terminal, who) as agent:
        examined = agent.examine(raw, helping=True)
        _require_tables(examined, expect)
        count = len(examined.records)
        asks = one_line(_requester(examined))
        _ask(terminal, f"{asks} asks for help.\n{examined.describe()}", "Help?", yes)
        share = agent.help_with(raw)
    write_message(output, share)
    if str(output) == "-":
        return
    step = f"twinlock release request.twl --as {asks} --share {output} -o release.twl"
    terminal.result(
        {"output": str(output), "member": who.name, "requester": asks, "records": count},
        done(f"Wrote {output}: shares for {asks}."),
        next_steps(step),
    )


def _requester(examined: ExaminedRequest) -> str:
    wanted = examined.message.member_id
    for known in examined.groups.values():
        membership = known.state.members.get(wanted)
        if membership is not None:
            return membership.member.name
    return wanted.hex()


def _ask(terminal: Terminal, description: str, question: str, yes: bool) -> None:
    terminal.say(description)
    if not yes and not terminal.confirm(question):
        raise CallerError(
            "release.declined",
            "Nothing was released.",
            hint="Answer y to release, or give --yes where nobody can be asked.",
        )


def _require_tables(examined: ExaminedRequest, expect: Sequence[str] | None) -> None:
    """Refuse what the member did not mean to release. Raises ``request.unexpected``."""
    for record in examined.records if expect else ():
        table = record.context.table
        if table not in (expect or ()):
            raise DataError(
                "request.unexpected",
                f"The server asks for a record of {one_line(table)!r}, which was not expected.",
                hint="Do not release anything; ask the server's people why.",
            )


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "release", rich_help_panel=panel)(release)
