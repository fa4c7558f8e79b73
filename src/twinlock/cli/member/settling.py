"""A revocation that is under way: shown, handed in, finished, or given up (SPEC 28)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twinlock.agent.agent import Agent
from twinlock.agent.home import FileHome
from twinlock.agent.revocation import discard_revocation, finish_revocation
from twinlock.agent.state import LockedState
from twinlock.cli.at_hand import Known, choose_way, factors_for
from twinlock.cli.member.online import Acting, Delivery, acting
from twinlock.cli.member.worth import warn_of
from twinlock.cli.messages import read_message, write_message
from twinlock.cli.service import Service, reached
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.who import Who
from twinlock.core.factors import Factor
from twinlock.errors import CallerError, TwinlockError

_OUTRUN = frozenset({"group.log-moved", "enrolment.list-stale", "enrolment.keys-differ"})


def require_news(acts: Acting) -> None:
    """Raise CallerError ``revocation.no-group`` or ``revocation.no-news``."""
    if not acts.in_group:
        raise CallerError(
            "revocation.no-group",
            f"{acts.agent.name} is in no group yet, so nothing is sealed for these keys.",
            hint="Make another member, and give an admin that one's card.",
        )
    if not acts.fresh:
        raise CallerError(
            "revocation.no-news",
            "New keys are made from the groups as they are now, and nothing says how that is.",
            hint="Name --service URL, or --bundle FILE from `twinlock group bundle`.",
        )


def status(terminal: Terminal, who: Who) -> None:
    """Say whether a revocation is under way, and what opens afterwards."""
    staged = FileHome(who.state_file).staged()
    if staged is None:
        terminal.result(
            {"member": who.name, "under_way": False},
            f"No revocation of {who.name} is under way here.",
        )
        return
    opens = [list(enrolment.kinds) for enrolment in staged[0].enrolments]
    terminal.result(
        {"member": who.name, "under_way": True, "enrolments": opens},
        f"A revocation of {who.name} is under way: the new keys are kept here, beside the old.",
        facts([("opens afterwards", "; or ".join(" and ".join(kinds) for kinds in opens))]),
        _steps(who, None),
    )


def write_again(terminal: Terminal, who: Who, delivery: Delivery) -> None:
    """Write the change of a revocation that is under way to a file once more.

    Raises CallerError ``revocation.under-way`` if none was named.
    """
    if delivery.output is None:
        raise CallerError(
            "revocation.under-way",
            f"A revocation of {who.name} is under way already.",
            hint="End it with --finish, give it up with --discard, or write it again with -o FILE.",
        )
    show_pending(terminal, who, delivery)


def show_pending(
    terminal: Terminal, who: Who, delivery: Delivery, *shown: Any, **further: Any
) -> None:
    """Write the staged change where it was asked for, and say what is left to do."""
    _, change = _staged(who)
    output = delivery.output
    if output is not None:
        write_message(output, change)
    if str(output) == "-":
        return
    data = {
        "member": who.name,
        "under_way": True,
        "output": None if output is None else str(output),
    }
    terminal.result(
        {**data, **further},
        done(f"The new keys of {who.name} are kept here, beside the present ones."),
        *shown,
        _steps(who, output),
    )


def finish(terminal: Terminal, who: Who, delivery: Delivery) -> None:
    """Put the new state in place, once the groups' logs show the new keys.

    With a server, the change is handed in first if they do not. Raises like ``finish_revocation``.
    """
    locked, _ = _staged(who)
    known = Known.of(locked)
    online = bool(who.service or terminal.config_named)
    way = choose_way(known, who, online=online)
    with reached(terminal, who.service, who.name) as service:
        factors = factors_for(way.kinds, terminal, who, known, service)
        if delivery.bundle is not None:
            news = read_message(delivery.bundle, "group bundle")
            renewed = finish_revocation(FileHome(who.state_file), factors, news)
        elif service is not None:
            renewed = settle_online(who, service, factors)
        else:
            raise CallerError(
                "revocation.no-news",
                "Whether the groups know the new keys, only the server can say.",
                hint="Name --service URL, or --bundle FILE from `twinlock group bundle`.",
            )
        with renewed:
            show_finished(terminal, renewed)


def discard(terminal: Terminal, who: Who, delivery: Delivery) -> None:
    """Forget the new state, after the present keys opened what the server has now.

    Raises like ``discard_revocation``, and ``member.keys-retired`` if the server took the change.
    """
    _staged(who)
    with acting(terminal, who, delivery) as acts:
        require_news(acts)
        discard_revocation(FileHome(who.state_file), acts.agent)
    terminal.result(
        {"member": who.name, "under_way": False},
        done(f"Given up. {who.name}'s keys and ways in are as they were."),
        next_steps(f"twinlock member revoke {who.name} --lost WAY"),
    )


def settle_online(who: Who, service: Service, factors: Sequence[Factor]) -> Agent:
    """Hand the staged change in unless the server has it, put the new state in place, and return
    its agent. Raises like ``finish_revocation``, and CallerError ``revocation.outrun``.
    """
    _, change = _staged(who)
    kept = FileHome(who.state_file)
    try:
        return finish_revocation(kept, factors, service.groups)
    except CallerError as error:
        if error.code != "revocation.pending":
            raise
    _hand_in(service, change)
    return finish_revocation(kept, factors, service.groups)


def show_finished(terminal: Terminal, renewed: Agent, *shown: Any, **further: Any) -> None:
    """Say that it is done, and what is worth knowing."""
    warn_of(terminal, renewed)
    name, groups = renewed.name, sorted(g.state.name for g in renewed.groups if g.verified)
    data = {"member": name, "under_way": False, "groups": groups}
    terminal.result(
        {**data, "enrolments": len(renewed.ways.all()), **further},
        done(f"{name} has new keys in {', '.join(groups)}. What ended opens nothing from now on."),
        *shown,
        "\nOther computers of the member know the old keys: set them up again with "
        "`twinlock member recover`.\n",
    )


def _hand_in(service: Service, change: bytes) -> None:
    try:
        service.change(change)
    except TwinlockError as error:
        if error.code not in _OUTRUN:
            raise
        raise CallerError(
            "revocation.outrun",
            "A group moved on before the server took the new keys, so they do not fit any more.",
            hint="Give this attempt up with --discard, which checks that, and revoke again.",
        ) from error


def _staged(who: Who) -> tuple[LockedState, bytes]:
    staged = FileHome(who.state_file).staged()
    if staged is None:
        raise CallerError(
            "revocation.none",
            "No revocation of this member is under way here.",
            hint="Begin one with `twinlock member revoke`.",
        )
    return staged


def _steps(who: Who, output: Any) -> Any:
    name = who.name
    if output is None:
        return next_steps(
            f"twinlock member revoke {name} --finish --service URL",
            f"twinlock member revoke {name} -o {name}.change     (without the network)",
        )
    return next_steps(
        f"twinlock member accept {output}     (server)",
        f"twinlock group bundle --for {name}.hello -o {name}.bundle     (server)",
        f"twinlock member revoke {name} --finish --bundle {name}.bundle",
    )
