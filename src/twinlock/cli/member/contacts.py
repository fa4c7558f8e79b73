"""``twinlock member contacts set | show | cancel``: who can bring a member back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.agent.agent import Agent
from twinlock.agent.contacts import Standing, cancel, choose_contacts, open_notices, standings
from twinlock.agent.recovery_book import SeenNotice
from twinlock.agent.ways import NewWay, WayIn
from twinlock.cli.group.acting import followed_group, member_id_of
from twinlock.cli.group.history import moment
from twinlock.cli.group.proposals import write_proposals
from twinlock.cli.member.enrol import pinned_by
from twinlock.cli.member.making import making
from twinlock.cli.member.online import Acting, Delivery, acting
from twinlock.cli.member.options import NewFactors, short_id
from twinlock.cli.member_side import locked_state
from twinlock.cli.server_side import vault
from twinlock.cli.sharing import sharing
from twinlock.cli.terminal import Terminal, done, facts, next_steps, table
from twinlock.cli.who import NameArgument, Using, Who
from twinlock.core.contacts.letter import DEFAULT_WAIT, HOUR
from twinlock.core.factors.contacts import KIND
from twinlock.core.proposal import Proposal
from twinlock.errors import CallerError

RecoveryArgument = Annotated[
    str, typer.Argument(metavar="RECOVERY", help="The recovery's digest, or its beginning.")
]
MIN_PREFIX = 8
_ABILITIES = {
    "can-help": "can help",
    "keys-changed": "has new keys since: choose contacts anew",
    "left": "is not in the group any more",
}


def set_contacts(
    terminal: Terminal,
    name: NameArgument,
    contacts: Annotated[list[str], typer.Argument(metavar="CONTACT...", help="Other members.")],
    group: Annotated[
        str, typer.Option(metavar="GROUP", help="All are in it; a recovery is announced there.")
    ],
    needed: Annotated[int, typer.Option("--needed", "-k", metavar="K", help="How many suffice.")],
    wait: Annotated[
        int, typer.Option(metavar="HOURS", help="Between the announcement and a share, from 1.")
    ] = DEFAULT_WAIT // HOUR,
    new: NewFactors = NewFactors(),
    delivery: Delivery = Delivery(),
    using: Using = Using(),
) -> None:
    """Let K of these members together bring NAME back when everything else is lost.

    None of them can do it alone, and no admin or server can. Factors that are named as well
    (--new-passphrase, …) are then needed beside the contacts. Contacts who were set before with
    the same factors are replaced.

    [dim]twinlock member contacts set weber anna berta carl --group ward --needed 2[/dim]
    """
    who = Who.of(name, using)
    wanted = new.wanted(who, pinned_by(who))
    shamir = sharing()
    with acting(terminal, who, delivery) as acts:
        state = followed_group(acts.agent, group)
        chosen = choose_contacts(
            acts.agent.admin,
            state.group_id,
            [member_id_of(state, contact) for contact in contacts],
            needed=needed,
            sharing=shamir,
            wait=wait * HOUR,
        )
        with making(terminal, wanted, acts.service) as made:
            kinds = {KIND, *(factor.kind for factor in made.factors)}
            old = _former(acts.agent, kinds)
            way = NewWay([chosen, *made.factors], new.label or "contacts", new.way(made).at_server)
            acts.agent.ways.enrol(
                way,
                instead_of=None if old is None else old.listed.enrolment_id,
                logins=made.logins,
                logins_of=made.logins_of,
                send=acts.send,
            )
        _show_set(acts, len(contacts), needed, alone=kinds == {KIND}, replaced=old is not None)


def show(terminal: Terminal, name: NameArgument, using: Using = Using()) -> None:
    """Show a member's contacts, who of them can still help, and recoveries that are announced.

    [dim]twinlock member contacts show weber[/dim]
    """
    who = Who.of(name, using)
    locked_state(who)
    with acting(terminal, who, Delivery()) as acts:
        found, announced = standings(acts.agent.admin), open_notices(acts.agent.admin)
    for standing in found:
        if standing.warning is not None:
            terminal.warn(standing.warning)
    data = {
        "member": name,
        "contacts": [_facts_of(standing) for standing in found],
        "announced": [_notice_facts(notice) for notice in announced],
    }
    shown = [item for standing in found for item in _shown(standing)]
    terminal.result(data, *(shown or [f"{name} has chosen no contacts.\n"]))


def cancel_recovery(
    terminal: Terminal,
    name: NameArgument,
    recovery: RecoveryArgument,
    propose: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it for `twinlock group append`."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FILE", help="News from `twinlock group bundle`.")
    ] = None,
    using: Using = Using(),
) -> None:
    """Cancel a recovery that the group's log announces: one's own, or as an admin.

    No contact's agent gives a share afterwards.

    [dim]twinlock member contacts cancel weber 5b2e91c0 --propose cancel.proposal[/dim]
    """
    with acting(terminal, Who.of(name, using), Delivery(bundle=bundle)) as acts:
        digest = _digest(acts.agent, recovery)
        proposals = cancel(acts.agent.admin, digest)
    data = {"member": name, "recovery": digest.hex(), "groups": len(proposals)}
    terminal.result(
        {**data, **deliver(terminal, proposals, propose)},
        done(f"The recovery {digest.hex()[:16]} is cancelled."),
        *([] if propose is None else [next_steps(f"twinlock group append {propose}     (server)")]),
    )


def deliver(terminal: Terminal, proposals: list[Proposal], propose: Path | None) -> dict[str, Any]:
    """Write notices down, or append them to the logs of a vault here; say which, for programs."""
    if propose is not None:
        write_proposals(propose, proposals)
        return {"proposal": str(propose), "appended": False}
    with vault(terminal) as opened:
        for proposal in proposals:
            opened.append(proposal)
    return {"proposal": None, "appended": True}


def _former(agent: Agent, kinds: set[str]) -> WayIn | None:
    found = [way for way in agent.ways.all() if set(way.listed.kinds) == kinds]
    return found[-1] if found else None


def _show_set(acts: Acting, count: int, needed: int, *, alone: bool, replaced: bool) -> None:
    terminal, name = acts.terminal, acts.agent.name
    if alone:
        terminal.warn(
            f"Any {needed} of these {count} together can become {name}, without asking. Name only "
            "people who would not, or a further factor, such as --new-passphrase."
        )
    if needed == count:
        terminal.warn("All of them are needed: if one leaves, nobody can help any more.")
    if replaced:
        terminal.warn(
            "Former contacts who kept their letters can still use them together. "
            "`twinlock member revoke` ends that."
        )
    data = {"member": name, "needed": needed, "contacts": count, "replaced": replaced}
    terminal.result(
        {**data, **acts.delivered},
        done(f"{needed} of {count} contacts can bring {name} back."),
        *acts.steps(),
    )


def _digest(agent: Agent, recovery: str) -> bytes:
    open_ones = {n.digest for n in agent.notices if not n.ended}
    found = [d for d in open_ones if d.hex().startswith(recovery.lower())]
    if len(found) != 1 or len(recovery) < MIN_PREFIX:
        raise CallerError(
            "recovery.unknown",
            "No followed group announces such a recovery that is still open.",
            hint="Give at least 8 digits of its digest; `twinlock member contacts show` lists "
            "those of the member, and `twinlock group log` all.",
        )
    return found[0]


def _facts_of(standing: Standing) -> dict[str, Any]:
    return {
        "id": short_id(standing.enrolment_id),
        "group": standing.group,
        "needed": standing.terms.needed,
        "wait_hours": standing.terms.wait / HOUR,
        "can_help": standing.able,
        "useless": standing.able < standing.terms.needed,
        "contacts": [
            {"contact": c.name, "member_id": c.member_id.hex(), "state": c.ability.value}
            for c in standing.contacts
        ],
    }


def _notice_facts(notice: SeenNotice) -> dict[str, Any]:
    return {
        "recovery": notice.digest.hex(),
        "group_id": notice.group_id.hex(),
        "announced_by": notice.begun_by.hex(),
        "first_seen": moment(notice.first_seen),
    }


def _shown(standing: Standing) -> list[Any]:
    terms = standing.terms
    told = f"{terms.needed} of {terms.count}, {standing.able} of them can still help"
    return [
        facts(
            [
                ("contacts", told),
                ("announced in", standing.group or terms.group_id.hex()),
                ("waiting time", f"{terms.wait / HOUR:g} hours"),
            ]
        ),
        table(
            ["contact", "id", ""],
            [
                [c.name or "(unknown)", c.member_id.hex(), _ABILITIES[c.ability.value]]
                for c in standing.contacts
            ],
        ),
    ]
