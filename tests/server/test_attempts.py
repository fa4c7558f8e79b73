"""How often one may try to sign in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from twinlock.errors import CallerError
from twinlock.server.attempts import WINDOW, SignIns
from twinlock.server.config import SignInLimits
from twinlock.store.sql import SqlStore
from twinlock.testing import MemoryClock

LIMITS = SignInLimits(account_per_hour=3, source_per_hour=5)


@pytest.fixture
def store() -> Iterator[SqlStore]:
    with SqlStore.connect("sqlite://", create=True) as made:
        yield made


def tried(signs: SignIns, account: str | None, source: str) -> str | None:
    try:
        signs.count(account, source)
    except CallerError as error:
        return error.code
    return None


def test_tries_end_at_each_limit_until_the_next_hour(store: SqlStore) -> None:
    """R-HTTP-18: and what is refused takes nothing from others."""
    clock = MemoryClock()
    signs = SignIns(LIMITS, store, clock)
    said = [tried(signs, "kim", f"10.0.0.{n}") for n in range(5)]
    assert said == [None, None, None, "sign-in.limit", "sign-in.limit"]
    assert [tried(signs, None, "10.0.0.9") for _ in range(6)] == [None] * 5 + ["sign-in.limit"]
    assert tried(signs, "weber", "10.0.0.9") == "sign-in.limit"
    assert tried(signs, "weber", "10.0.0.1") is None
    clock.forward(WINDOW)
    assert tried(signs, "kim", "10.0.0.9") is None


def test_all_processes_count_together(store: SqlStore) -> None:
    """R-HTTP-18."""
    clock = MemoryClock()
    one, other = SignIns(LIMITS, store, clock), SignIns(LIMITS, store, clock)
    assert [tried(signs, "kim", "a") for signs in (one, other, one, other)] == [
        *[None] * 3,
        "sign-in.limit",
    ]
