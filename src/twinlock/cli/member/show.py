"""``twinlock member show``: one member here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from twinlock.agent.agent import Agent
from twinlock.cli.member_side import locked_state, unlock
from twinlock.cli.terminal import Terminal, facts, table
from twinlock.cli.who import NameArgument, Using, Who
from twinlock.core.membership import MemberCard, Membership, key_fingerprint, log_fingerprint


def show(
    terminal: Terminal,
    name: NameArgument,
    using: Using = Using(),
    locked: Annotated[
        bool, typer.Option("--locked", help="Only what can be said without unlocking.")
    ] = False,
) -> None:
    """Show a member: ways in, groups, pinned heads, fingerprints, counters.

    [dim]twinlock member show weber[/dim]
    """
    who = Who.of(name, using)
    state = locked_state(who)
    ways = [" and ".join(enrolment.kinds) for enrolment in state.enrolments]
    kems = sorted({enrolment.kem.name for enrolment in state.enrolments})
    data: dict[str, Any] = {
        "member": state.name,
        "member_id": state.member_id.hex(),
        "deployment": state.deployment_id.hex(),
        "enrolments": [list(enrolment.kinds) for enrolment in state.enrolments],
        "keys": kems,
    }
    lines: list[tuple[str, object]] = [
        ("member", state.name),
        ("id", state.member_id.hex()),
        ("deployment", state.deployment_id.hex()),
        ("opens with", "; or ".join(ways)),
        ("keys", ", ".join(kems)),
    ]
    if locked:
        terminal.result(data, facts(lines))
        return
    with unlock(terminal, who) as agent:
        groups, shown = group_facts(agent), MemberCard.decode(agent.card())
        status = agent.status()
    fingerprint = key_fingerprint(shown.member.signing_public)
    lines += [("fingerprint", fingerprint), ("releases", status.releases)]
    data |= {"fingerprint": fingerprint, "releases": status.releases, "groups": groups}
    listed: tuple[str | Table, ...] = ("", group_table(groups)) if groups else ()
    terminal.result(data, facts(lines), *listed)


def group_facts(agent: Agent) -> list[dict[str, Any]]:
    """Return the groups that an agent follows, with its counters."""
    status = agent.status()
    return [
        {
            "group": known.state.name,
            "group_id": known.state.group_id.hex(),
            "verified": known.verified,
            "role": _role(agent, known.state.members),
            "seq": known.state.seq,
            "head": known.state.head.hex(),
            "fingerprint": log_fingerprint(known.state.pin),
            "released_this_hour": status.released_this_hour.get(known.state.group_id, 0),
            "budget_per_hour": status.budget_per_hour[known.state.group_id],
        }
        for known in agent.groups
    ]


def _role(agent: Agent, members: Mapping[bytes, Membership]) -> str:
    membership = members.get(agent.member_id)
    return "none" if membership is None else str(membership.role.value)


def group_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    """Return them for people."""
    return table(
        ["group", "role", "verified", "entry", "fingerprint", "released/hour"],
        [
            [
                g["group"],
                g["role"],
                "yes" if g["verified"] else "no",
                g["seq"],
                g["fingerprint"],
                f"{g['released_this_hour']} of {g['budget_per_hour']}",
            ]
            for g in groups
        ],
    )
