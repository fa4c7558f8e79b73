"""The agent's own brake: how many DEKs it releases by itself.

Counts stay in the member's own state, over all sessions and tabs, so a server cannot talk an agent
into more by asking in small pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from twinlock.core.membership import AgentPlacement, GroupState, Policy
from twinlock.errors import CallerError

HOUR: Final = 3600


@dataclass(slots=True)
class BudgetLedger:
    """DEKs released per group, by minute, for the last hour.

    ``spent`` maps group id to a list of (minute since the epoch, count).
    """

    spent: dict[bytes, list[tuple[int, int]]] = field(default_factory=dict)

    def within_hour(self, group_id: bytes, now: int) -> int:
        """Return how many DEKs of a group were released in the hour before ``now``.

        A clock that was set back does not free anything: later minutes still count.
        """
        first = (now - HOUR) // 60
        return sum(count for minute, count in self.spent.get(group_id, []) if minute > first)

    def spend(self, counts: Mapping[bytes, int], now: int) -> None:
        """Book a release, and forget what is older than an hour."""
        minute, first = now // 60, (now - HOUR) // 60
        for group_id, count in counts.items():
            by_minute = dict(entry for entry in self.spent.get(group_id, []) if entry[0] > first)
            # One entry a minute: the state file stays small however many releases there are.
            by_minute[minute] = by_minute.get(minute, 0) + count
            self.spent[group_id] = sorted(by_minute.items())

    def raise_to(self, other: BudgetLedger) -> None:
        """Take over what another run booked: of each group, the ledger that counts more."""
        for group_id, theirs in other.spent.items():
            ours = self.spent.get(group_id, [])
            if sum(count for _, count in theirs) > sum(count for _, count in ours):
                self.spent[group_id] = list(theirs)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an agent at ``placement`` may release by itself: ``per_hour`` DEKs of each group."""

    placement: AgentPlacement
    per_hour: int
    ledger: BudgetLedger

    def limit(self, policy: Policy) -> int:
        """Return the lower of the agent's own budget and the group's."""
        if policy.budget_per_hour is None:
            return self.per_hour
        return min(self.per_hour, policy.budget_per_hour)

    def reason_to_ask(self, group: GroupState, count: int, now: int) -> str | None:
        """Return why the member has to decide about ``count`` records of a group, or None.

        Raises CallerError ``release.placement`` where the group does not allow an agent at all.
        """
        policy = group.policy
        if not policy.allows_agent(self.placement):
            raise CallerError(
                "release.placement",
                f"Group {group.name} allows no agent that runs here ({self.placement.value}).",
                hint="Use the agent as a program or on its own origin.",
            )
        if policy.click_each:
            return f"group {group.name} wants a click for every release"
        limit = self.limit(policy)
        used = self.ledger.within_hour(group.group_id, now)
        if used + count > limit:
            return f"{used + count} records of group {group.name} in an hour, budget {limit}"
        return None
