"""The ledger of the last hour, against counting by hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twinlock.agent.budget import HOUR, BudgetLedger

GROUP, OTHER = bytes(32), b"\x01" * 32
START = 1_800_000_000

spendings = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 50)), max_size=30)


@settings(max_examples=200, deadline=None, database=None)
@given(spent=spendings, later=st.integers(0, 2 * HOUR))
def test_the_last_hour_is_counted_to_the_minute(spent: list[tuple[int, int]], later: int) -> None:
    ledger, now, booked = BudgetLedger(), START, []
    for pause, count in spent:
        now += pause
        ledger.spend({GROUP: count, OTHER: 1}, now)
        booked.append((now, count))
    now += later
    counted = ledger.within_hour(GROUP, now)
    # A minute that is only partly within the hour may be forgotten, never a whole one.
    assert sum(n for at, n in booked if at > now - HOUR + 60) <= counted
    assert counted <= sum(n for at, n in booked if at > now - HOUR - 60)


@settings(max_examples=100, deadline=None, database=None)
@given(spent=spendings, back=st.integers(0, 100 * HOUR))
def test_a_clock_that_goes_back_frees_nothing(spent: list[tuple[int, int]], back: int) -> None:
    ledger, now = BudgetLedger(), START
    for pause, count in spent:
        now += pause
        ledger.spend({GROUP: count}, now)
    assert ledger.within_hour(GROUP, now - back) >= ledger.within_hour(GROUP, now)


def test_what_is_older_than_an_hour_is_not_kept() -> None:
    ledger = BudgetLedger()
    for minute in range(300):
        ledger.spend({GROUP: 1}, START + 60 * minute)
    assert len(ledger.spent[GROUP]) <= 61


def test_two_runs_ledgers_become_the_fuller_one_of_each_group() -> None:
    ours = BudgetLedger({GROUP: [(10, 5)], OTHER: [(10, 1)]})
    theirs = BudgetLedger({GROUP: [(10, 5), (11, 2)], b"\x02" * 32: [(10, 3)]})
    ours.raise_to(theirs)
    assert ours.spent == {
        GROUP: [(10, 5), (11, 2)],
        OTHER: [(10, 1)],
        b"\x02" * 32: [(10, 3)],
    }
    theirs.spent[GROUP].append((12, 9))
    assert ours.spent[GROUP] == [(10, 5), (11, 2)]
