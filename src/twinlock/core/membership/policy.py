"""A group's policy: the floors below which no agent, writer or server of the group goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from twinlock.core import cbor
from twinlock.core.membership import wire
from twinlock.core.membership.traits import EXCEPTIONS, take_words
from twinlock.core.ports import OuterSuite
from twinlock.errors import CallerError

AUTHOR_SIGNATURE = "signature"
"""Who vouches for content: version 1 knows the writer's signature only."""

MAX_BUDGET = 2**31 - 1


class AgentPlacement(StrEnum):
    """Where a member's agent may run, strictest first. Each allows those before it as well."""

    OWN_ORIGIN_OR_PROGRAM = "own-origin-or-program"
    APPLICATION_PAGE = "application-page"
    SERVER = "server"


_LAXITY = {placement: rank for rank, placement in enumerate(AgentPlacement)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Floors of one group.

    ``outer_suites``: the accepted outer locks, at least one. ``budget_per_hour``: DEKs that an
    agent releases by itself within an hour (0: every one needs a click; None: no limit).
    ``click_each``: every record needs a click of its own. ``pq_at_rest``: member keys and group
    keys are MLKEM768-X25519, and every member states the trait of that name; whether the outer lock
    is quantum-safe is for ``outer_suites`` to say. ``exceptions``: the traits, of those that need
    one, with which members are taken all the same.
    Raises CallerError ``policy.invalid``.
    """

    outer_suites: frozenset[OuterSuite]
    agent_placement: AgentPlacement = AgentPlacement.OWN_ORIGIN_OR_PROGRAM
    budget_per_hour: int | None = None
    click_each: bool = False
    pq_at_rest: bool = False
    author: str = AUTHOR_SIGNATURE
    exceptions: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.outer_suites:
            raise _invalid("accepts no outer suite, so nothing could be read")
        if self.author != AUTHOR_SIGNATURE:
            raise _invalid("names an author check that this version does not know")
        if self.budget_per_hour is not None and not 0 <= self.budget_per_hour <= MAX_BUDGET:
            raise _invalid("has a budget out of range")
        if not self.exceptions <= EXCEPTIONS:
            raise _invalid("makes an exception that this version does not know")

    def lowers(self, other: Policy) -> frozenset[str]:
        """Return the names of the floors that going from this policy to ``other`` would lower."""
        lowered = {
            "outer_suites": not other.outer_suites <= self.outer_suites,
            "agent_placement": _LAXITY[other.agent_placement] > _LAXITY[self.agent_placement],
            "budget_per_hour": _budget(other) > _budget(self),
            "click_each": self.click_each and not other.click_each,
            "pq_at_rest": self.pq_at_rest and not other.pq_at_rest,
            "exceptions": not other.exceptions <= self.exceptions,
        }
        return frozenset(name for name, lower in lowered.items() if lower)

    def allows_agent(self, placement: AgentPlacement) -> bool:
        """Say if an agent that runs at ``placement`` may release records of the group."""
        return _LAXITY[placement] <= _LAXITY[self.agent_placement]

    def items(self) -> list[Any]:
        """Return the array that stands for this policy in an entry."""
        return [
            sorted(int(suite) for suite in self.outer_suites),
            self.author,
            self.agent_placement.value,
            self.budget_per_hour,
            self.click_each,
            self.pq_at_rest,
            sorted(self.exceptions),
        ]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read what ``items`` returned. Raises ``format.malformed``."""
        suites, author, placement, budget, click_each, pq, exceptions = wire.take_items(value, 7)
        with wire.decoding():
            return cls(
                outer_suites=_take_suites(suites),
                author=cbor.take_text(author),
                agent_placement=_take_placement(placement),
                budget_per_hour=None if budget is None else cbor.take_uint(budget),
                click_each=wire.take_bool(click_each),
                pq_at_rest=wire.take_bool(pq),
                exceptions=take_words(exceptions, EXCEPTIONS),
            )


def _budget(policy: Policy) -> float:
    return float("inf") if policy.budget_per_hour is None else policy.budget_per_hour


def _take_suites(value: Any) -> frozenset[OuterSuite]:
    numbers = [cbor.take_uint(item) for item in cbor.take_list(value, 1, len(OuterSuite))]
    if numbers != sorted(set(numbers)) or not set(numbers) <= set(OuterSuite):
        raise cbor.malformed("its outer suites are not known ones in ascending order")
    return frozenset(OuterSuite(number) for number in numbers)


def _take_placement(value: Any) -> AgentPlacement:
    text = cbor.take_text(value)
    if text not in list(AgentPlacement):
        raise cbor.malformed("it names an unknown agent placement")
    return AgentPlacement(text)


def _invalid(why: str) -> CallerError:
    return CallerError(
        "policy.invalid",
        f"This policy {why}.",
        hint="Look at its suites, author, budget and exceptions.",
    )
