"""``twinlock member revoke``: new keys, because somebody else may have a factor (SPEC 28)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from twinlock.agent.agent import Agent
from twinlock.agent.factors import Password
from twinlock.agent.home import FileHome
from twinlock.agent.scram import Scram
from twinlock.agent.ways import NewWay, WayIn
from twinlock.cli.at_hand import Known
from twinlock.cli.member.enrol import declined, pinned_by
from twinlock.cli.member.keeping import Keeping, Staying, called
from twinlock.cli.member.making import Made, Wanted, making, split_login
from twinlock.cli.member.online import Acting, Delivery, acting
from twinlock.cli.member.options import NewFactors, WithoutGroupOption, YesOption, find_way
from twinlock.cli.member.settling import (
    discard,
    finish,
    require_news,
    settle_online,
    show_finished,
    show_pending,
    status,
    write_again,
)
from twinlock.cli.member_side import locked_state
from twinlock.cli.terminal import Terminal
from twinlock.cli.who import NameArgument, Using, Who
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import EnrollableFactor, Factor
from twinlock.core.factors.contacts import KIND as CONTACTS
from twinlock.core.member_change import Login
from twinlock.errors import CallerError

_UNDER_WAY = "A revocation that is under way"
_PASSWORDS = frozenset({"password", "scram"})


@dataclass(frozen=True, slots=True)
class _Changed:
    """What a person said of the ways in and groups of before."""

    lost: Sequence[str]
    keep: Sequence[str]
    without: Sequence[str]


def revoke(
    terminal: Terminal,
    name: NameArgument,
    lost: Annotated[
        list[str] | None,
        typer.Option(metavar="WAY", help="A way in that ends; repeat it. All others stay."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="WAY", help="A way in that stays; repeat it. All others end."),
    ] = None,
    without_group: WithoutGroupOption = None,
    yes: YesOption = False,
    finish_it: Annotated[
        bool, typer.Option("--finish", help="End it.", rich_help_panel=_UNDER_WAY)
    ] = False,
    discard_it: Annotated[
        bool,
        typer.Option(
            "--discard",
            help="Give it up, if the server never took it.",
            rich_help_panel=_UNDER_WAY,
        ),
    ] = False,
    show_status: Annotated[
        bool, typer.Option("--status", help="Show it.", rich_help_panel=_UNDER_WAY)
    ] = False,
    new: NewFactors = NewFactors(),
    delivery: Delivery = Delivery(),
    using: Using = Using(),
) -> None:
    """Make new keys, because somebody else may have a factor: a stolen computer, a code seen.

    Every way in that stays is made anew, so its factors are needed once more: they are asked for.
    Nothing of the old ways in opens what is sealed from then on. Interrupted at any moment, it can
    be finished, or discarded if the server never took it.

    [dim]twinlock member revoke weber --lost laptop --new-key weber.new.key --service https://…[/dim]

    [dim]twinlock member revoke weber --finish --service https://ward.example/twinlock/member/[/dim]
    """
    who = Who.of(name, using)
    locked_state(who)
    if show_status + finish_it + discard_it > 1:
        raise CallerError(
            "revocation.what", "These exclude each other.", hint="Name one of the three."
        )
    if show_status:
        status(terminal, who)
    elif finish_it:
        finish(terminal, who, delivery)
    elif discard_it:
        discard(terminal, who, delivery)
    elif FileHome(who.state_file).staged() is not None:
        write_again(terminal, who, delivery)
    else:
        changed = _Changed(lost or [], keep or [], without_group or [])
        _begin(terminal, who, changed, yes, new, delivery)


def _begin(
    terminal: Terminal,
    who: Who,
    changed: _Changed,
    yes: bool,
    new: NewFactors,
    delivery: Delivery,
) -> None:
    with acting(terminal, who, delivery) as acts:
        require_news(acts)
        stays = _chosen(acts.agent.ways.all(), changed.lost, changed.keep)
        known = Known.of(locked_state(who))
        wanted = new.wanted(who, pinned_by(who))
        _explain(terminal, acts.agent, stays, wanted)
        if not yes and not terminal.confirm(f"Give {who.name} new keys?"):
            raise declined()
        staying = Keeping(terminal, who, known, acts.service).all(stays)
        made = _stage(acts, who, staying, wanted, new, changed.without)
        factors = _quickest([*(s.factors for s in staying), made.factors])
        _deliver(acts, who, made, factors)


def _chosen(ways: Sequence[WayIn], lost: Sequence[str], keep: Sequence[str]) -> list[WayIn]:
    """The ways in that stay. Those by contacts never do: their letters lead to the old keys."""
    if lost and keep:
        raise CallerError(
            "revocation.what",
            "Say what ends (--lost) or what stays (--keep), not both.",
            hint="`twinlock member factors` lists the ways in.",
        )
    ended = {find_way(ways, named).listed.enrolment_id for named in lost}
    kept = {find_way(ways, named).listed.enrolment_id for named in keep}
    return [
        way
        for way in ways
        if CONTACTS not in way.listed.kinds
        and way.listed.enrolment_id not in ended
        and (not keep or way.listed.enrolment_id in kept)
    ]


def _explain(terminal: Terminal, agent: Agent, stays: Sequence[WayIn], wanted: Wanted) -> None:
    """Say beforehand what it does, and what it does not."""
    kept = {way.listed.enrolment_id for way in stays}
    ends = [way for way in agent.ways.all() if way.listed.enrolment_id not in kept]
    groups = ", ".join(sorted(g.state.name for g in agent.groups if g.verified))
    terminal.say(
        f"{agent.name} gets new keys, in {groups}.\n"
        f"Ends:  {'; '.join(map(called, ends)) or 'no way in'}\n"
        f"Stays: {'; '.join(map(called, stays)) or 'no way in'}"
        + ("" if wanted.nothing else "\nNew:   what you named")
        + "\nFrom the moment the server has taken it, what ends opens nothing that is sealed then, "
        "and signs in\nnowhere; neither does a copy of anything as it was before.\n"
        "What was sealed until then stays open to somebody who has the old factor, the enrolment, "
        "the group keys of that\ntime and the use of the HSM, until it is sealed anew.\n"
    )
    if any(CONTACTS in way.listed.kinds for way in ends):
        terminal.warn(
            "Contacts led to the old keys. Choose them again: "
            f"`twinlock member contacts set {agent.name}`."
        )


def _stage(
    acts: Acting,
    who: Who,
    staying: Sequence[Staying],
    wanted: Wanted,
    new: NewFactors,
    without: Sequence[str],
) -> Made:
    """Make and keep the new state beside the present one. New files stay once that is done."""
    ways = [
        NewWay(s.factors, s.way.listed.label, False if not s.way.listed.at_server else None)
        for s in staying
    ]
    with making(acts.terminal, wanted, acts.service) as made:
        if not wanted.nothing:
            ways.append(new.way(made))
        made.logins += _scram_logins(staying) if new.sign_in else []
        made.needed = lambda: FileHome(who.state_file).staged() is not None
        acts.agent.ways.revoke(
            ways,
            logins=made.logins,
            logins_of=_split_logins(ways) if new.sign_in else lambda _enrolment: (),
            scram_alone=new.scram_alone or _has_scram_alone(acts.agent),
            sole_passkey=new.sole_passkey,
            without=without,
        )
    if not new.sign_in and any(f.kind in _PASSWORDS for way in ways for f in way.factors):
        acts.terminal.warn(
            "No password signs in to the application any more, until `member change --sign-in` "
            "hands it one; nor does a passkey, until it is registered again."
        )
    return made


def _has_scram_alone(agent: Agent) -> bool:
    """What groups allowed before, they allow again."""
    mine = agent.member_id
    states = (known.state.members.get(mine) for known in agent.groups)
    return any("scram-alone" in m.member.traits for m in states if m is not None)


def _scram_logins(staying: Sequence[Staying]) -> list[Login]:
    factors = [f for s in staying for f in s.factors if isinstance(f, Scram)]
    return [Login("scram", scram.new_verifier().to_text().reveal()) for scram in factors[:1]]


def _split_logins(ways: Sequence[NewWay]) -> Callable[[Enrolment], Sequence[Login]]:
    """What the passwords sign in with: the factor that made an enrolment is found by its kinds."""
    passwords = {
        frozenset(f.kind for f in way.factors): factor
        for way in ways
        for factor in way.factors
        if isinstance(factor, Password)
    }

    def logins_of(enrolment: Enrolment) -> Sequence[Login]:
        password = passwords.get(frozenset(enrolment.kinds))
        return [] if password is None else [split_login(password, enrolment)]

    return logins_of


def _quickest(sets: Sequence[Sequence[EnrollableFactor]]) -> Sequence[Factor]:
    """The factors of the new way in that ask the least of a person once more."""
    slow = {"passkey": 2, "smart-card": 1}
    return min(
        (factors for factors in sets if factors),
        key=lambda factors: sum(slow.get(factor.kind, 0) for factor in factors),
    )


def _deliver(acts: Acting, who: Who, made: Made, factors: Sequence[Factor]) -> None:
    terminal = acts.terminal
    if acts.service is None or acts.delivery.output is not None:
        show_pending(acts.terminal, who, acts.delivery, *made.shown, **made.facts)
        return
    terminal.say("The new keys are kept here, beside the present ones. Handing them in.")
    with settle_online(who, acts.service, factors) as renewed:
        show_finished(terminal, renewed, *made.shown, **made.facts)
