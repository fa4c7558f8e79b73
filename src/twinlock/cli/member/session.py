"""``twinlock member card | hello | follow``: what a member hands out, and takes in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.cli.member.notices import warn_of_notices
from twinlock.cli.member.show import group_facts, group_table
from twinlock.cli.member_side import InvitationOption, read_invitation, unlock
from twinlock.cli.messages import OutputOption, read_message, write_message
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.who import NameArgument, Using, Who
from twinlock.core.membership import MemberCard, key_fingerprint


def card(
    terminal: Terminal,
    name: NameArgument,
    output: OutputOption,
    invitation: InvitationOption = None,
    using: Using = Using(),
) -> None:
    """Write this member's card, for an admin to add; with an invitation, accept it.

    [dim]twinlock member card kim --invitation ward.invite -o kim.card[/dim]
    """
    accepted = None if invitation is None else read_invitation(invitation)
    with unlock(terminal, Who.of(name, using)) as agent:
        raw = agent.card(accepted)
    write_message(output, raw)
    shown = MemberCard.decode(raw)
    fingerprint = key_fingerprint(shown.member.signing_public)
    group = None if accepted is None else accepted.group_name
    _wrote(
        terminal,
        output,
        {"member": name, "member_id": shown.member.member_id.hex(), "group": group}
        | {"fingerprint": fingerprint},
        facts([("group", group or "(no invitation)"), ("fingerprint", fingerprint)]),
        next_steps(f"twinlock group add {group or 'GROUP'} {output} --as ADMIN     (the admin)"),
    )


def hello(
    terminal: Terminal,
    name: NameArgument,
    output: OutputOption,
    using: Using = Using(),
) -> None:
    """Open a session of up to two hours, and write the hello that the server asks with.

    [dim]twinlock member hello weber -o weber.hello[/dim]
    """
    with unlock(terminal, Who.of(name, using)) as agent:
        raw, groups = agent.hello(keep=True), len(agent.groups)
    write_message(output, raw)
    _wrote(
        terminal,
        output,
        {"member": name, "groups": groups},
        next_steps(
            f"twinlock request --for {output} --table TABLE --ids … -o request.twl     (server)"
            if groups
            else f"twinlock group bundle --for {output} -o {name}.bundle     (server)"
        ),
    )


def follow(
    terminal: Terminal,
    name: NameArgument,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="From `group bundle`.")],
    using: Using = Using(),
) -> None:
    """Verify news of this member's groups, and pin the new heads.

    [dim]twinlock member follow kim kim.bundle[/dim]
    """
    raw = read_message(bundle, "group bundle")
    with unlock(terminal, Who.of(name, using)) as agent:
        agent.follow(raw)
        warn_of_notices(terminal, agent)
        groups = group_facts(agent)
    terminal.result({"member": name, "groups": groups}, done("Verified."), group_table(groups))


def _wrote(terminal: Terminal, output: Path, data: dict[str, Any], *shown: Any) -> None:
    """Give the result, unless the message itself went to stdout."""
    if str(output) == "-":
        return
    terminal.result({"output": str(output), **data}, done(f"Wrote {output}"), *shown)
