"""``twinlock member factors``: a member's ways in, where they are kept, what they are worth."""

from __future__ import annotations

import time
from typing import Any

from twinlock.agent.ways import WayIn
from twinlock.cli.member.online import Delivery, acting
from twinlock.cli.member.options import short_id
from twinlock.cli.member.worth import warn_of, worth_of
from twinlock.cli.member_side import locked_state
from twinlock.cli.terminal import Terminal, next_steps, table
from twinlock.cli.who import NameArgument, Using, Who


def factors(terminal: Terminal, name: NameArgument, using: Using = Using()) -> None:
    """List a member's ways in: any one of them opens, with all of its factors.

    With a server, what was changed on other computers is taken over first. The label or the id's
    beginning names one for [bold]change[/bold], [bold]drop[/bold] and [bold]revoke[/bold].

    [dim]twinlock member factors weber[/dim]
    """
    who = Who.of(name, using)
    locked_state(who)
    with acting(terminal, who, Delivery()) as acts:
        ways = acts.agent.ways.all()
        warn_of(terminal, acts.agent)
    listed = [facts_of(way) for way in ways]
    rows = [
        [
            one["id"],
            " + ".join(one["factors"]),
            one["label"],
            _day(one["made"]),
            _kept(one),
            one["worth"],
            "yes" if one["quantum_safe"] else "no",
            one["server_sees"],
        ]
        for one in listed
    ]
    columns = ["id", "factors", "label", "made", "kept", "worth"]
    columns += ["quantum-safe", "server sees at sign-in"]
    terminal.result(
        {"member": name, "enrolments": listed},
        table(columns, rows),
        "",
        next_steps(f"twinlock member enrol {name} --new-recovery FILE     (another way in)"),
    )


def facts_of(way: WayIn) -> dict[str, Any]:
    """Return one way in for programs; ``made`` is seconds since 1970, 0 for unknown."""
    listed = way.listed
    worth = worth_of(listed.kinds)
    return {
        "id": short_id(listed.enrolment_id),
        "enrolment_id": listed.enrolment_id.hex(),
        "factors": list(listed.kinds),
        "label": listed.label,
        "made": listed.made,
        "here": way.here,
        "at_server": listed.at_server,
        "strength": worth.strength,
        "worth": worth.text,
        "quantum_safe": worth.quantum_safe,
        "server_sees": worth.at_sign_in,
    }


def _day(made: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(made)) if made else ""


def _kept(one: dict[str, Any]) -> str:
    kept = [place for place, key in (("here", "here"), ("server", "at_server")) if one[key]]
    return " and ".join(kept) or "elsewhere"
