"""What a member's ways in are worth, and what the member should know before one is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twinlock.agent.agent import Agent
from twinlock.agent.contacts import standings
from twinlock.agent.ways import WayIn
from twinlock.cli.member.options import short_id
from twinlock.cli.terminal import Terminal
from twinlock.core.enrolment import FULL_STRENGTH
from twinlock.core.enrolment_list import SYMMETRIC, guessable, traits_of
from twinlock.core.membership.traits import SOLE_PASSKEY

_SEEN = (
    ("scram", "what the SCRAM password opens"),
    ("password", "a blinded point, nothing of the password"),
    ("passkey", "a signature, if the passkey signs in"),
)


@dataclass(frozen=True, slots=True)
class Worth:
    """One way in, judged by its kinds alone.

    ``strength``: ``full`` (128 bits that no person chose), ``hardened`` (each guess is a call of
    the token), ``guessable`` (whoever copies the enrolment guesses at the speed of Argon2id).
    """

    strength: str
    quantum_safe: bool
    at_sign_in: str

    @property
    def text(self) -> str:
        """The strength for people."""
        texts = {
            "full": "128 bits",
            "hardened": "guesses cost calls of the token",
            "guessable": "guessable with a copy of it",
        }
        return texts[self.strength]


def worth_of(kinds: Sequence[str]) -> Worth:
    """Judge a way in. ``quantum_safe``: what is stored needs no classical public-key step."""
    if not FULL_STRENGTH.isdisjoint(kinds):
        strength = "full"
    else:
        strength = "guessable" if guessable(kinds) else "hardened"
    seen = next((text for kind, text in _SEEN if kind in kinds), "nothing")
    return Worth(strength, not SYMMETRIC.isdisjoint(kinds), seen)


def warnings_of(agent: Agent) -> list[str]:
    """Return what the member should know, the worst first."""
    ways = agent.ways.all()
    name = agent.name
    found: list[str] = []
    if len(ways) == 1:
        what = " or ".join(ways[0].listed.kinds)
        found.append(
            f"{name} has one way in: losing the {what} loses what opens for {name} alone. Make "
            f"another: `twinlock member enrol {name} --new-recovery FILE`."
        )
    elif all(_needs_this_computer(way) for way in ways):
        found.append(
            f"Every way in needs a file of this computer: losing it locks {name} out. Make one "
            f"that does not: `twinlock member enrol {name} --new-recovery FILE`, kept at the "
            f"server, or copy {name}.member and its key elsewhere."
        )
    if SOLE_PASSKEY in traits_of(way.listed.kinds for way in ways):
        found.append("Every way in needs a passkey: lost with the key, or the account it is in.")
    found += [
        f"{_called(way)} opens for whoever copies {name}.member and guesses."
        for way in ways
        if worth_of(way.listed.kinds).strength == "guessable"
    ]
    return found + _of_same_kinds(ways) + _of_contacts(agent) + _of_groups(agent)


def warn_of(terminal: Terminal, agent: Agent) -> None:
    """Warn of all of it."""
    for text in warnings_of(agent):
        terminal.warn(text)


def _needs_this_computer(way: WayIn) -> bool:
    return not way.listed.at_server or "device-key" in way.listed.kinds


def _of_same_kinds(ways: Sequence[WayIn]) -> list[str]:
    """By name, a server hands out one enrolment: the newest with these factors."""
    newest = {way.listed.kinds: way for way in ways if way.listed.at_server}
    hidden = [w for w in ways if w.listed.at_server and w is not newest[w.listed.kinds]]
    return [
        f"{_called(way)} is not found on an empty computer: the server hands out the newest one "
        f"with these factors. It takes `member recover --way {way.listed.enrolment_id.hex()}`."
        for way in hidden
    ]


def _of_contacts(agent: Agent) -> list[str]:
    standing = standings(agent.admin)
    return [f"Recovery by contacts: {one.warning}" for one in standing if one.warning is not None]


def _of_groups(agent: Agent) -> list[str]:
    """Groups that a new computer would not know, since the signed list does not name them."""
    listed = agent.ways.state.listed
    named = set() if listed is None else {pin.group_id for pin in listed.groups}
    mine = agent.member_id
    new = [
        known.state.name
        for known in agent.groups
        if known.verified and mine in known.state.members and known.state.group_id not in named
    ]
    if not new or not any(way.listed.at_server for way in agent.ways.all()):
        return []
    return [
        f"A new computer would not know {', '.join(sorted(new))}: "
        f"`twinlock member publish {agent.name}`."
    ]


def _called(way: WayIn) -> str:
    kinds = " and ".join(way.listed.kinds)
    return f"The way in {way.listed.label or short_id(way.listed.enrolment_id)} ({kinds})"
