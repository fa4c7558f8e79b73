"""``twinlock group invite | add | remove | leave | new-epoch``: who is in, and the group's key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinlock.agent.agent import Agent
from twinlock.cli.group.acting import (
    BundleOption,
    GroupArgument,
    ProposeOption,
    Route,
    act,
    followed_group,
    member_id_of,
    show_outcome,
)
from twinlock.cli.group.stale import count_stale
from twinlock.cli.member_side import unlock
from twinlock.cli.messages import read_message
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.who import AsOption, Using, Who
from twinlock.core.membership import GroupState, MemberCard, Role, key_fingerprint
from twinlock.core.proposal import Proposal
from twinlock.files import write_private

if TYPE_CHECKING:
    from twinlock.server.vault import Vault


def invite(
    terminal: Terminal,
    name: GroupArgument,
    as_member: AsOption,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it here; else it is printed."),
    ] = None,
    using: Using = Using(),
) -> None:
    """Make an invitation, to be handed over outside the server. It holds a secret.

    [dim]twinlock group invite ward --as weber -o ward.invite[/dim]
    """
    with unlock(terminal, Who.of(as_member, using)) as agent:
        group = followed_group(agent, name)
        invitation = agent.admin.invite(group.group_id)
    text = invitation.to_text().reveal()
    data = {"group": group.name, "expires": invitation.expires}
    step = f"twinlock member create NAME --invitation {output or 'INVITATION'}     (the newcomer)"
    if output is None:
        terminal.result({**data, "invitation": text}, text)
        return
    write_private(output, (text + "\n").encode())
    terminal.result({**data, "output": str(output)}, done(f"Wrote {output}"), next_steps(step))


def add(
    terminal: Terminal,
    name: GroupArgument,
    member_card: Annotated[
        Path, typer.Argument(metavar="CARD", help="The newcomer's member card.")
    ],
    as_member: AsOption,
    role: Annotated[
        Role, typer.Option(help="admin also changes the group; both open its records.")
    ] = Role.MEMBER,
    compared: Annotated[
        bool,
        typer.Option("--compared", help="Uninvited, but I compared the fingerprint by phone."),
    ] = False,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Add a member by card. The card answers an invitation, or was --compared.

    [dim]twinlock group add ward kim.card --as weber[/dim]
    """
    raw = read_message(member_card, "member card")
    newcomer = MemberCard.decode(raw).member

    def make(agent: Agent, group: GroupState) -> Proposal:
        return agent.admin.add(group.group_id, raw, role, compared=compared)

    route = Route(Who.of(as_member, using), propose, bundle)
    outcome = act(terminal, route, name, make)
    show_outcome(
        terminal,
        route,
        outcome,
        facts([("fingerprint", key_fingerprint(newcomer.signing_public))]),
        next_steps(
            f"twinlock member hello {newcomer.name} -o {newcomer.name}.hello     ({newcomer.name})",
            f"twinlock group bundle --for {newcomer.name}.hello -o {newcomer.name}.bundle     "
            "(server)",
            f"twinlock member follow {newcomer.name} {newcomer.name}.bundle     ({newcomer.name})",
        ),
    )


def remove(
    terminal: Terminal,
    name: GroupArgument,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="Name or id.")],
    as_member: AsOption,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Remove a member and begin the next epoch, in one entry.

    Says what a removed member who kept copies can still open, and how many records that is.

    [dim]twinlock group remove ward kim --as weber[/dim]
    """

    def make(agent: Agent, group: GroupState) -> Proposal:
        return agent.admin.remove(group.group_id, member_id_of(group, member))

    _end(
        terminal,
        Route(Who.of(as_member, using), propose, bundle),
        name,
        member,
        make,
    )


def leave(
    terminal: Terminal,
    name: GroupArgument,
    as_member: AsOption,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Leave a group. An admin should begin another epoch afterwards.

    [dim]twinlock group leave ward --as kim[/dim]
    """

    def make(agent: Agent, group: GroupState) -> Proposal:
        return agent.admin.leave(group.group_id)

    route = Route(Who.of(as_member, using), propose, bundle)
    _end(terminal, route, name, as_member, make)


def new_epoch(
    terminal: Terminal,
    name: GroupArgument,
    as_member: AsOption,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Begin the next epoch of the group's key. What is sealed from now on uses it.

    [dim]twinlock group new-epoch ward --as weber[/dim]
    """

    def make(agent: Agent, group: GroupState) -> Proposal:
        return agent.admin.new_epoch(group.group_id)

    route = Route(Who.of(as_member, using), propose, bundle)
    show_outcome(terminal, route, act(terminal, route, name, make))


def _end(terminal: Terminal, route: Route, name: str, member: str, make: Any) -> None:
    """Let a member go, and say honestly what that does not end."""
    found: dict[str, int] = {}

    def count(opened: Vault, state: GroupState) -> None:
        found["stale"] = count_stale(terminal, opened, state)

    outcome = act(terminal, route, name, make, after=count)
    if outcome.after is None:
        show_outcome(terminal, route, outcome)
        return
    epoch, stale = outcome.after.current_epoch.number, found["stale"]
    data = {**outcome.data, "removed": member, "records_of_older_epochs": stale}
    terminal.result(
        data,
        done(f"{member} is no member of {outcome.after.name} any more; epoch {epoch} began."),
        f"\nFrom now on the server takes no release of {member}, and epoch {epoch} is closed to "
        f"{member}.\nWhoever kept the group's older keys could still open {stale} record(s) of "
        "this store that are sealed to older epochs, given the token's interface and a copy of "
        "them. That ends when they are sealed anew. Records kept elsewhere are not counted.",
    )
