"""``twinlock member accept | bundle | list``: what the server keeps of members, on the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.cli.messages import OutputOption, read_message, write_message
from twinlock.cli.server_side import vault
from twinlock.cli.terminal import Terminal, done, next_steps, table
from twinlock.cli.who import NameArgument
from twinlock.errors import CallerError


def accept(
    terminal: Terminal,
    change: Annotated[
        Path, typer.Argument(metavar="CHANGE", help="From `member enrol -o` and the like.")
    ],
) -> None:
    """Take a member's new ways in, on the server: all of the change or nothing.

    [dim]twinlock member accept weber.change[/dim]
    """
    raw = read_message(change, "change of ways in")
    with vault(terminal) as opened:
        listed = opened.members.accept(raw)
        member = opened.store.members.member_by_id(listed.member_id)
    name = "" if member is None else member.name
    kept = [entry for entry in listed.enrolments if entry.at_server]
    data = {"member": name, "member_id": listed.member_id.hex(), "kept": len(kept)}
    terminal.result(
        {**data, "enrolments": len(listed.enrolments), "counter": listed.counter},
        done(f"{name}: {len(listed.enrolments)} way(s) in, {len(kept)} kept here."),
    )


def bundle(terminal: Terminal, name: NameArgument, output: OutputOption) -> None:
    """Write all that the server keeps of a member, for an empty computer of that member.

    Nothing in it can be guessed. Hand it to the member alone all the same.

    [dim]twinlock member bundle weber -o weber.bundle[/dim]
    """
    with vault(terminal) as opened:
        member = opened.members.by_name(name)
        if member is None:
            raise CallerError(
                "member.unknown",
                f"This server keeps nothing of a member {name!r}.",
                hint="The member hands it in with `twinlock member publish`.",
            )
        raw = opened.members.everything(member.member_id)
    write_message(output, raw)
    if str(output) == "-":
        return
    step = f"twinlock member recover {name} {output} --deployment CARD     (the member)"
    data = {"output": str(output), "member": name, "bytes": len(raw)}
    terminal.result(data, done(f"Wrote {output}"), next_steps(step))


def list_members(terminal: Terminal) -> None:
    """List the members that the groups of this server know, on the server.

    [dim]twinlock member list[/dim]
    """
    people: dict[bytes, dict[str, Any]] = {}
    with vault(terminal) as opened:
        for state in sorted(opened.group_states().values(), key=lambda s: s.name):
            for member_id, membership in state.members.items():
                entry = people.setdefault(
                    member_id,
                    {
                        "member": membership.member.name,
                        "member_id": member_id.hex(),
                        "groups": {},
                        "states": {},
                        "kept": len(opened.store.members.enrolments(member_id)),
                    },
                )
                entry["groups"][state.name] = membership.role.value
                entry["states"][state.name] = sorted(membership.member.traits)
    found = sorted(people.values(), key=lambda p: (p["member"], p["member_id"]))
    rows = [
        [
            p["member"],
            p["member_id"],
            ", ".join(f"{g} ({r})" for g, r in p["groups"].items()),
            # As in every group, once they are up to date with each other.
            "; ".join(sorted({", ".join(said) for said in p["states"].values()} - {""})),
            p["kept"] or "",
        ]
        for p in found
    ]
    columns = ["member", "id", "groups", "states", "ways in kept here"]
    terminal.result({"members": found}, table(columns, rows))
