"""``twinlock member enrol | change | drop | publish``: ways in, with the keys as they are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from twinlock.agent.ways import WayIn
from twinlock.cli.member.making import Made, making
from twinlock.cli.member.online import Acting, Delivery, acting
from twinlock.cli.member.options import (
    NewFactors,
    SolePasskeyOption,
    WayArgument,
    YesOption,
    find_way,
    short_id,
)
from twinlock.cli.member.worth import warn_of
from twinlock.cli.member_side import locked_state
from twinlock.cli.terminal import Terminal, done
from twinlock.cli.who import NameArgument, Using, Who
from twinlock.core.deployment import DeploymentCard
from twinlock.errors import CallerError


def enrol(
    terminal: Terminal,
    name: NameArgument,
    new: NewFactors = NewFactors(),
    delivery: Delivery = Delivery(),
    using: Using = Using(),
) -> None:
    """Give a member another way in. Nobody else is needed, and the keys stay as they are.

    What is new opens by itself: one factor, or all together that are named. It is kept at the
    server as well, unless a stolen database could be used to guess it.

    [dim]twinlock member enrol weber --new-recovery paper --service https://ward.example/…[/dim]

    [dim]twinlock member enrol weber --new-key /media/usb/weber.key --label stick[/dim]
    """
    _enrol(terminal, Who.of(name, using), new, delivery, None)


def change(
    terminal: Terminal,
    name: NameArgument,
    way: WayArgument,
    new: NewFactors = NewFactors(),
    delivery: Delivery = Delivery(),
    using: Using = Using(),
) -> None:
    """Put a new way in in the place of another: a new password, a new computer.

    The keys stay. Whoever may have a copy of the old factor AND of its enrolment still has them:
    after a loss or theft use [bold]member revoke[/bold].

    [dim]twinlock member change weber laptop --new-password --service https://ward.example/…[/dim]
    """
    _enrol(terminal, Who.of(name, using), new, delivery, way)


def drop(
    terminal: Terminal,
    name: NameArgument,
    way: WayArgument,
    yes: YesOption = False,
    sole_passkey: SolePasskeyOption = False,
    delivery: Delivery = Delivery(),
    using: Using = Using(),
) -> None:
    """Let a way in no longer count. The last one stays.

    The keys stay: after a loss or theft use [bold]member revoke[/bold].

    [dim]twinlock member drop weber stick[/dim]
    """
    who = Who.of(name, using)
    locked_state(who)
    with acting(terminal, who, delivery) as acts:
        ways = acts.agent.ways
        found = find_way(ways.all(), way)
        left = len(ways.all()) - 1
        said = f"{_called(found)} will not open any more, and {left or 'no'} way(s) in are left."
        if left == 1:
            said += " Losing that one would lose what opens for this member alone."
        if left and not yes and not terminal.confirm(f"{said} Drop it?"):
            raise declined()
        ways.drop(found.listed.enrolment_id, sole_passkey=sole_passkey, send=acts.send)
        warn_of(terminal, acts.agent)
        data = {"member": name, "dropped": short_id(found.listed.enrolment_id)}
        terminal.result(
            {**data, "enrolments": left, **acts.delivered},
            done(f"{_called(found)} does not count any more."),
            *acts.steps(),
        )


def publish(
    terminal: Terminal,
    name: NameArgument,
    mine: Annotated[
        bool,
        typer.Option("--mine", help="Even if another computer changed ways in at the same time."),
    ] = False,
    sole_passkey: SolePasskeyOption = False,
    delivery: Delivery = Delivery(),
    using: Using = Using(),
) -> None:
    """Hand the signed list of ways in to the server, and those that it may keep.

    After joining a group: a new computer follows the groups that the list names.

    [dim]twinlock member publish weber --service https://ward.example/twinlock/member/[/dim]
    """
    who = Who.of(name, using)
    locked_state(who)
    with acting(terminal, who, delivery, mine=mine) as acts:
        if acts.send is None:
            raise CallerError(
                "member.not-published",
                f"There is no server to hand {name}'s ways in to"
                + ("." if acts.service is None else f", because {name} is in no group yet."),
                hint="Name --service URL, or -o FILE; an admin adds members to groups.",
            )
        acts.agent.ways.publish(sole_passkey=sole_passkey, send=acts.send)
        kept = [w for w in acts.agent.ways.all() if w.listed.at_server]
        warn_of(terminal, acts.agent)
        terminal.result(
            {"member": name, "kept": len(kept), **acts.delivered},
            done(f"{len(kept)} way(s) in to keep at the server."),
            *acts.steps(),
        )


def declined() -> CallerError:
    """Return the error of a person who said no."""
    return CallerError(
        "member.declined", "Nothing was changed.", hint="Answer y, or give --yes to do it."
    )


def _enrol(
    terminal: Terminal, who: Who, new: NewFactors, delivery: Delivery, instead_of: str | None
) -> None:
    wanted = new.wanted(who, pinned_by(who))
    if wanted.nothing:
        raise CallerError(
            "member.no-factor",
            "Nothing was named that the new way in shall open with.",
            hint="Name --new-key, --new-password, --new-recovery or another; see --help.",
        )
    with acting(terminal, who, delivery) as acts:
        ways = acts.agent.ways
        old = None if instead_of is None else find_way(ways.all(), instead_of)
        before = {way.listed.enrolment_id for way in ways.all()}
        with making(terminal, wanted, acts.service) as made:
            ways.enrol(
                new.way(made),
                instead_of=None if old is None else old.listed.enrolment_id,
                logins=made.logins,
                logins_of=made.logins_of,
                scram_alone=new.scram_alone,
                sole_passkey=new.sole_passkey,
                send=made.handing_over(acts.send),
            )
        (added,) = [w for w in ways.all() if w.listed.enrolment_id not in before]
        warn_of(terminal, acts.agent)
        _show(acts, made, added, old)


def _show(acts: Acting, made: Made, added: WayIn, old: WayIn | None) -> None:
    name = acts.agent.name
    data: dict[str, Any] = {
        "member": name,
        "id": short_id(added.listed.enrolment_id),
        "factors": made.kinds,
        "label": added.listed.label,
        "at_server": added.listed.at_server,
        "enrolments": len(acts.agent.ways.all()),
        "instead_of": None if old is None else short_id(old.listed.enrolment_id),
        **acts.delivered,
        **made.facts,
    }
    opens = " and ".join(made.kinds)
    text = f"{name} opens with {opens} as well."
    if old is not None:
        text = f"{name} opens with {opens} in the place of {_called(old)}."
    acts.terminal.result(data, done(text), *made.shown, *acts.steps())


def pinned_by(who: Who) -> DeploymentCard:
    """Return the deployment and token that a member's file pins. Raises ``agent.no-identity``."""
    pinned = locked_state(who).pinned
    if pinned is None:
        raise CallerError(
            "agent.no-identity",
            "This member has pinned no token yet.",
            hint="Create the member with the deployment's card.",
        )
    return pinned


def _called(way: WayIn) -> str:
    label = f" ({way.listed.label})" if way.listed.label else ""
    return f"{' and '.join(way.listed.kinds)}{label}"
