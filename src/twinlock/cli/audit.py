"""``twinlock audit``: who released what, and whether the log of it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinlock.cli.command import command, new_app
from twinlock.cli.failure import EXIT_DATA
from twinlock.cli.group.history import moment
from twinlock.cli.server_side import vault
from twinlock.cli.terminal import Terminal, done, table, visible
from twinlock.core.audit import AuditLine, decode_line
from twinlock.core.release import decode_release, split_signed
from twinlock.errors import DataError

if TYPE_CHECKING:
    from twinlock.server.vault import Vault

app = new_app("The audit chain: a line for every release, written before anything opens.")


@command(app, "verify")
def verify(terminal: Terminal) -> int | None:
    """Verify the chain, its signed heads, and each member's own count of releases.

    Exit code 3 when something is missing or was changed.

    [dim]twinlock audit verify[/dim]
    """
    with vault(terminal) as opened:
        total = opened.store.audit.tail().next_seq
        with terminal.progress("Verifying", total) as advance:
            report = opened.verify_audit(on_line=lambda _seq: advance(1))
    data = {
        "ok": report.ok,
        "lines": report.lines,
        "releases": report.releases,
        "signed_heads": report.heads,
        "signed_seq": report.signed_seq,
        "problems": report.problems,
        "gaps": report.gaps,
    }
    unsigned = report.lines - 1 - report.signed_seq
    if report.ok:
        shown = [
            done(
                f"{report.lines} lines, {report.releases} releases, "
                f"{report.heads} signed heads: whole."
            )
        ]
        if unsigned > 0:
            terminal.warn(
                f"The last {unsigned} line(s) are under no signed head yet: `twinlock audit sign`."
            )
        terminal.result(data, *shown)
        return None
    terminal.result(data, *(f"✗ {visible(line)}" for line in [*report.problems, *report.gaps]))
    return EXIT_DATA


@command(app, "show")
def show(
    terminal: Terminal,
    last: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N lines.")] = 20,
) -> None:
    """Show the newest lines. What they say is proved by [bold]audit verify[/bold] only.

    [dim]twinlock audit show --last 50[/dim]
    """
    with vault(terminal) as opened:
        names = {
            member_id: membership.member.name
            for state in opened.group_states().values()
            for member_id, membership in state.members.items()
        }
        lines = [_line_facts(raw, names) for raw in _newest(opened, last)]
    rows = [
        [
            line["seq"],
            moment(line["time"]),
            line["member"],
            line["records"],
            line["outcome"],
            line["request"][:16],
        ]
        for line in lines
    ]
    columns = ["line", "time", "member", "records", "outcome", "request"]
    terminal.result({"lines": lines}, table(columns, rows) if rows else "No lines yet.")


@command(app, "sign")
def sign(terminal: Terminal) -> None:
    """Have the token's audit key sign the chain's present head.

    [dim]twinlock audit sign[/dim]
    """
    with vault(terminal) as opened:
        tail = opened.store.audit.tail()
        opened.auditor.sign_head()
    seq = tail.next_seq - 1
    data = {"signed_seq": seq, "hash": tail.last_hash.hex()}
    terminal.result(data, done(f"Signed line {seq}.") if seq >= 0 else "No lines yet.")


def _newest(vault: Vault, last: int) -> list[bytes]:
    first = max(0, vault.store.audit.tail().next_seq - last)
    return [entry.line for entry in vault.store.audit.lines(first)]


def _line_facts(raw: bytes, names: dict[bytes, str]) -> dict[str, Any]:
    line = decode_line(raw)
    member, records = _release_facts(line, names)
    return {
        "seq": line.seq,
        "time": line.time,
        "member": member,
        "records": records,
        "outcome": line.outcome,
        "request": line.request_digest.hex(),
    }


def _release_facts(line: AuditLine, names: dict[bytes, str]) -> tuple[str | None, int | None]:
    if not line.release:
        return None, None
    try:
        release = decode_release(split_signed(line.release)[0])
    except DataError:
        return "(unreadable)", None
    return names.get(release.member_id) or release.member_id.hex(), len(release.items)
