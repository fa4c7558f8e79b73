"""``twinlock group set-admins | set-writers | set-identity | set-policy``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from twinlock.agent.agent import Agent
from twinlock.cli.group.acting import (
    BundleOption,
    GroupArgument,
    ProposeOption,
    Route,
    act,
    member_id_of,
    parse_writers,
    show_outcome,
)
from twinlock.cli.group.exceptions import (
    AllowScramAlone,
    AllowSolePasskey,
    changed_exceptions,
)
from twinlock.cli.server_side import configuration, needing_server
from twinlock.cli.terminal import Terminal
from twinlock.cli.who import AsOption, Using, Who
from twinlock.core.membership import AgentPlacement, GroupState, Writer
from twinlock.core.proposal import Proposal
from twinlock.errors import CallerError


def set_admins(
    terminal: Terminal,
    name: GroupArgument,
    admins: Annotated[list[str], typer.Argument(metavar="MEMBER...", help="All admins.")],
    as_member: AsOption,
    admin_k: Annotated[
        int | None,
        typer.Option(metavar="K", help="Admins who must sign together; may only be raised."),
    ] = None,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Name all admins of the group, and how many of them must sign a change.

    [dim]twinlock group set-admins ward weber kim --admin-k 2 --as weber[/dim]
    """

    def make(agent: Agent, group: GroupState) -> Proposal:
        ids = [member_id_of(group, admin) for admin in admins]
        return agent.admin.set_admins(group.group_id, ids, admin_k or group.admin_k)

    route = Route(Who.of(as_member, using), propose, bundle)
    show_outcome(terminal, route, act(terminal, route, name, make))


def set_writers(
    terminal: Terminal,
    name: GroupArgument,
    as_member: AsOption,
    writer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=HEX", help="Add this writer; default: this configuration's."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Remove the writer of this name.")
    ] = None,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Change whose content the group accepts; without options, add this configuration's writer.

    [dim]twinlock group set-writers ward --as weber --writer import=04…[/dim]
    """
    named = parse_writers(writer or [])
    if not named and not remove:
        named = [_own_writer(terminal)]

    def make(agent: Agent, group: GroupState) -> Proposal:
        present = {w.public: w for w in group.writers.values()}
        for gone in remove or []:
            present = {k: w for k, w in present.items() if w.name != gone}
        wanted = {**present, **{w.public: w for w in named}}
        if wanted == {w.public: w for w in group.writers.values()}:
            raise CallerError(
                "group.nothing-changed",
                f"Group {group.name} names exactly these writers already.",
                hint=f"See `twinlock group show {group.name}`.",
            )
        return agent.admin.set_writers(group.group_id, wanted.values())

    route = Route(Who.of(as_member, using), propose, bundle)
    show_outcome(terminal, route, act(terminal, route, name, make))


def _own_writer(terminal: Terminal) -> Writer:
    with needing_server():
        from twinlock.server.setup import writer_of

    return writer_of(configuration(terminal))


def set_identity(
    terminal: Terminal,
    name: GroupArgument,
    as_member: AsOption,
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Default: the identity that the configuration pins."),
    ] = None,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Vouch for a new identity key of the token, after comparing its fingerprint.

    [dim]twinlock group set-identity ward --fingerprint 9f… --as weber[/dim]
    """
    identity = configuration(terminal).identity if fingerprint is None else _hex32(fingerprint)

    def make(agent: Agent, group: GroupState) -> Proposal:
        return agent.admin.set_identity(group.group_id, identity)

    route = Route(Who.of(as_member, using), propose, bundle)
    show_outcome(terminal, route, act(terminal, route, name, make))


def _hex32(value: str) -> bytes:
    try:
        raw = bytes.fromhex(value)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise CallerError(
            "group.fingerprint",
            "This is not a fingerprint of 32 bytes in hexadecimal.",
            hint="Copy all of its 64 digits.",
        )
    return raw


def set_policy(
    terminal: Terminal,
    name: GroupArgument,
    as_member: AsOption,
    budget: Annotated[
        int | None, typer.Option(metavar="N", help="Records an hour; -1 for no limit.")
    ] = None,
    click_each: Annotated[
        bool | None,
        typer.Option("--click-each/--no-click-each", help="Ask the member for every release."),
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option(metavar="SUITE", help="Accepted outer suites: all of them.")
    ] = None,
    placement: Annotated[
        AgentPlacement | None, typer.Option(help="Where agents may run, strictest first.")
    ] = None,
    pq_at_rest: Annotated[
        bool | None,
        typer.Option("--pq/--no-pq", help="Keys and ways in that withstand quantum computers."),
    ] = None,
    allow_scram_alone: AllowScramAlone = None,
    allow_sole_passkey: AllowSolePasskey = None,
    propose: ProposeOption = None,
    bundle: BundleOption = None,
    using: Using = Using(),
) -> None:
    """Change what is named, and leave the rest of the group's policy as it is.

    Lowering a floor takes every admin's signature, or that of admin-k of them.

    [dim]twinlock group set-policy ward --budget 200 --click-each --as weber[/dim]
    """
    changes: dict[str, Any] = {
        "click_each": click_each,
        "agent_placement": placement,
        "pq_at_rest": pq_at_rest,
    }
    changes = {field: value for field, value in changes.items() if value is not None}
    if budget is not None:
        changes["budget_per_hour"] = None if budget == -1 else budget
    if suite:
        from twinlock.server.config import accept_suites

        changes["outer_suites"] = accept_suites(suite)
    if not changes and allow_scram_alone is allow_sole_passkey is None:
        raise CallerError(
            "group.nothing-changed",
            "Nothing was named that shall change.",
            hint="See `twinlock group set-policy --help`.",
        )

    def make(agent: Agent, group: GroupState) -> Proposal:
        exceptions = changed_exceptions(
            group.policy.exceptions,
            scram_alone=allow_scram_alone,
            sole_passkey=allow_sole_passkey,
        )
        policy = replace(group.policy, exceptions=exceptions, **changes)
        return agent.admin.set_policy(group.group_id, policy)

    route = Route(Who.of(as_member, using), propose, bundle)
    show_outcome(terminal, route, act(terminal, route, name, make))
