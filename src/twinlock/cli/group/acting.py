"""How an admin's verb reaches the server: in one step, or as a proposal file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinlock.agent.agent import Agent
from twinlock.cli.group.history import describe_entry
from twinlock.cli.group.proposals import require_signatures, signatures_missing, write_proposals
from twinlock.cli.member_side import unlock, unlock_beside
from twinlock.cli.messages import read_message
from twinlock.cli.server_side import vault
from twinlock.cli.terminal import Terminal, done, next_steps
from twinlock.cli.who import Who
from twinlock.core.membership import GroupState, SignedEntry, Writer
from twinlock.core.proposal import Proposal
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.server.vault import Vault

_PANEL = "Without the server"

GroupArgument = Annotated[str, typer.Argument(metavar="NAME", help="The group's name, or its id.")]
ProposeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Do not touch the server: write a proposal for `twinlock group append`.",
        rich_help_panel=_PANEL,
    ),
]
BundleOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="With --propose: news from `twinlock group bundle`.",
        rich_help_panel=_PANEL,
    ),
]
Make = Callable[[Agent, GroupState], Proposal]


@dataclass(frozen=True, slots=True)
class Route:
    """Who acts, and which way the entry goes."""

    who: Who
    propose: Path | None = None
    bundle: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: the group before, and after it was appended (None: a proposal only)."""

    before: GroupState
    proposals: tuple[Proposal, ...]
    after: GroupState | None

    @property
    def data(self) -> dict[str, Any]:
        """The facts for programs."""
        state = self.after or self.before
        names = {i: m.member.name for i, m in self.before.members.items()}
        entries = [
            describe_entry(SignedEntry.decode(p.signed_entry), names) for p in self.proposals
        ]
        return {
            "group": state.name,
            "group_id": state.group_id.hex(),
            "appended": self.after is not None,
            "entries": entries,
            "seq": state.seq,
            "epoch": state.current_epoch.number,
        }


def act(
    terminal: Terminal,
    route: Route,
    group: str,
    make: Make,
    *,
    after: Callable[[Vault, GroupState], None] | None = None,
) -> Outcome:
    """Have the member's agent make an entry of ``group``, and append it or write it down.

    ``after`` is called with the vault and the group's new state, in one step only.
    """
    if route.propose is not None:
        return _propose(terminal, route, route.propose, group, make)
    with vault(terminal) as opened, unlock_beside(terminal, route.who, opened) as agent:
        agent.follow(opened.group_bundle(agent.hello()))
        before = followed_group(agent, group)
        proposal = make(agent, before)
        require_signatures(before, proposal)
        state = opened.append(proposal)
        agent.follow(opened.group_bundle(agent.hello()))
        if after is not None:
            after(opened, state)
    return Outcome(before, (proposal,), state)


def _propose(terminal: Terminal, route: Route, file: Path, group: str, make: Make) -> Outcome:
    with unlock(terminal, route.who) as agent:
        if route.bundle is not None:
            agent.follow(read_message(route.bundle, "group bundle"))
        before = followed_group(agent, group)
        proposal = make(agent, before)
    write_proposals(file, [proposal])
    return Outcome(before, (proposal,), None)


def show_outcome(terminal: Terminal, route: Route, outcome: Outcome, *shown: Any) -> None:
    """Give the result of ``act``."""
    data = outcome.data
    what = "; ".join(entry["text"] for entry in data["entries"])
    if outcome.after is not None:
        terminal.result(data, done(f"{data['group']}: {what}."), *shown)
        return
    missing = signatures_missing(outcome.before, outcome.proposals[-1])
    data |= {"proposal": str(route.propose), "signatures_missing": missing}
    steps = [f"twinlock group append {route.propose}     (server)"]
    if missing:
        steps.insert(0, f"twinlock group cosign {route.propose} --as ADMIN     ({missing} more)")
    terminal.result(
        data, done(f"Proposed in {route.propose}: {data['group']}: {what}."), next_steps(*steps)
    )


def followed_group(agent: Agent, group: str) -> GroupState:
    """Return a group that this agent follows, by name or id.

    Raises CallerError ``group.not-followed`` or ``group.ambiguous``.
    """
    found = [
        known.state
        for known in agent.groups
        if known.verified and group in (known.state.name, known.state.group_id.hex())
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CallerError(
            "group.not-followed",
            f"{agent.name}'s agent follows no group {group!r}, or knows it unverified only.",
            hint="Accept an invitation to it first; see `twinlock member show`.",
        )
    raise CallerError(
        "group.ambiguous",
        f"{agent.name}'s agent follows several groups named {group!r}.",
        hint="Give the group's id: " + ", ".join(state.group_id.hex() for state in found),
    )


def member_id_of(state: GroupState, member: str) -> bytes:
    """Return a member's id by name or id. Raises ``group.no-member`` or ``group.ambiguous``."""
    found = [
        member_id
        for member_id, membership in state.members.items()
        if member in (membership.member.name, member_id.hex())
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CallerError(
            "group.no-member",
            f"Group {state.name} has no member {member!r}.",
            hint=f"See `twinlock group show {state.name}`.",
        )
    raise CallerError(
        "group.ambiguous",
        f"Group {state.name} has several members named {member!r}.",
        hint="Give the member's id: " + ", ".join(member_id.hex() for member_id in found),
    )


def parse_writers(values: Iterable[str]) -> list[Writer]:
    """Read ``NAME=HEXPUBLIC``. Raises ``writer.malformed``."""
    return [_writer(value) for value in values]


def _writer(value: str) -> Writer:
    name, _, public = value.rpartition("=")
    try:
        return Writer(name, bytes.fromhex(public))
    except ValueError as error:
        raise CallerError(
            "writer.malformed",
            f"{value!r} is not a writer.",
            hint="Write NAME=HEXPUBLIC, as `twinlock init` prints it.",
        ) from error
