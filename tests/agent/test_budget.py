"""The ledger of a budget stays small: an entry a minute, whatever the number of releases."""

from __future__ import annotations

from twinlock.agent.budget import BudgetLedger


def test_releases_of_one_minute_are_one_entry() -> None:
    ledger = BudgetLedger()
    for second in range(60):
        ledger.spend({b"group": 2}, 6000 + second)
    assert ledger.spent == {b"group": [(100, 120)]}
    assert ledger.within_hour(b"group", 6059) == 120


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    ledger = BudgetLedger()
    ledger.spend({b"group": 1}, 6000)
    ledger.spend({b"group": 1}, 6000 + 3660)
    assert ledger.spent == {b"group": [(161, 1)]}
