"""The agent's own brake: how many DEKs it releases by itself.

Counts stay in the member's own state, over all sessions and tabs, so a server cannot talk an agent
into more by asking in small pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

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
