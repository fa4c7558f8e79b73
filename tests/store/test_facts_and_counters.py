"""Facts written once, the token directory, and counters with a limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from twinlock.errors import CallerError
from twinlock.store import SqlStore, StoredStatement
from twinlock.store.counters import WINDOW_LIMIT, WindowFullError

from .expect import refused


def test_a_fact_that_was_never_written_is_none(store: SqlStore) -> None:
    assert store.meta.get("deployment") is None


def test_a_fact_is_read_back(store: SqlStore) -> None:
    store.meta.set_once("deployment", b"\x00\xff")
    store.meta.set_once("empty", b"")
    assert store.meta.get("deployment") == b"\x00\xff"
    assert store.meta.get("empty") == b""


@pytest.mark.parametrize("second", [b"same", b"other"])
def test_a_fact_is_never_overwritten(store: SqlStore, second: bytes) -> None:
    store.meta.set_once("deployment", b"same")
    with refused("store.meta-exists", CallerError):
        store.meta.set_once("deployment", second)
    assert store.meta.get("deployment") == b"same"


def test_statements_come_back_in_the_order_they_came(store: SqlStore) -> None:
    given = [
        StoredStatement(kid, role, b"statement", b"signature")
        for kid, role in [(b"z", "identity"), (b"a", "log"), (b"z", "identity"), (b"m", "audit")]
    ]
    for item in given:
        store.directory.add_statement(item.kid, item.role, item.statement, item.signature)
    assert store.directory.statements() == given


def test_a_directory_starts_empty(store: SqlStore) -> None:
    assert store.directory.statements() == []


def test_a_counter_starts_at_zero_and_returns_its_sum(store: SqlStore) -> None:
    assert store.counters.value("seals") == 0
    assert store.counters.add("seals", 3, 10) == 3
    assert store.counters.add("seals", 7, 10) == 10
    assert store.counters.add("other", 1, 10) == 1
    assert store.counters.value("seals") == 10


@pytest.mark.parametrize(
    ("before", "amount", "limit"),
    [(0, 11, 10), (10, 1, 10), (1, 10, 10), (10, 0, 9), (10, 2**63 - 1, 2**63 - 1)],
)
def test_a_counter_over_its_limit_adds_nothing(
    store: SqlStore, before: int, amount: int, limit: int
) -> None:
    store.counters.add("seals", before, before)
    with refused("token.key-exhausted", CallerError):
        store.counters.add("seals", amount, limit)
    assert store.counters.value("seals") == before


def test_a_counter_does_not_count_down(store: SqlStore) -> None:
    store.counters.add("seals", 5, 10)
    with refused("store.value-invalid", CallerError):
        store.counters.add("seals", -1, 10)
    assert store.counters.value("seals") == 5


def test_a_window_counts_under_each_name_up_to_its_limit(store: SqlStore) -> None:
    for _ in range(2):
        store.counters.add_in_window({"a/key": 5, "a/account": 2}, 7)
    with pytest.raises(WindowFullError) as full:
        store.counters.add_in_window({"a/key": 5, "a/account": 2}, 7)
    assert full.value.name == "a/account"
    # All or none: the key has three left, and not two.
    for _ in range(3):
        store.counters.add_in_window({"a/key": 5}, 7)
    with pytest.raises(WindowFullError):
        store.counters.add_in_window({"a/key": 5}, 7)


def test_the_next_window_counts_from_nothing_and_an_ended_one_is_full(store: SqlStore) -> None:
    store.counters.add_in_window({"a": 1}, 7)
    store.counters.add_in_window({"a": 1}, 8)
    for window in (7, 8):
        with pytest.raises(WindowFullError):
            store.counters.add_in_window({"a": 1}, window)


def test_the_largest_limit_of_a_window_does_not_reach_into_the_next(store: SqlStore) -> None:
    last = 8 * (WINDOW_LIMIT + 1) - 1
    store.counters.add("a", last, last)
    with pytest.raises(WindowFullError):
        store.counters.add_in_window({"a": WINDOW_LIMIT}, 7)
    store.counters.add_in_window({"a": 1}, 8)


def test_only_ended_windows_of_a_kind_are_forgotten(store: SqlStore) -> None:
    for name, window in (("a/1", 7), ("a/2", 8), ("ab", 7), ("a_1", 7)):
        store.counters.add_in_window({name: 1}, window)
    store.counters.forget_windows("a/", 8)
    left = {name for name in ("a/1", "a/2", "ab", "a_1") if store.counters.value(name)}
    assert left == {"a/2", "ab", "a_1"}


def test_two_at_once_do_not_pass_a_limit_together(store: SqlStore) -> None:
    def attempt(_: int) -> bool:
        try:
            store.counters.add_in_window({"key": 50, "account": 5}, 7)
        except WindowFullError:
            return False
        return True

    with ThreadPoolExecutor(4) as executor:
        assert sum(executor.map(attempt, range(16))) == 5
