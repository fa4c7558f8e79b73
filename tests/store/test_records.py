"""Sealed rows: all or none, in order, replaced only on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import OperationalError

from twinlock.errors import CallerError
from twinlock.store import SealedRow, SqlStore
from twinlock.store.paging import PAGE

from .expect import refused


class StoppedError(Exception):
    """Raised by the tests' own iterables."""


def key(number: int) -> bytes:
    return number.to_bytes(2)


def row(number: int, head: bytes = b"head") -> SealedRow:
    cells = {"name": b"n%d" % number, "note": b"o%d" % number}
    return SealedRow(key(number), number, head, cells, b'{"plain": 1}')


def rows(count: int) -> list[SealedRow]:
    return [row(number) for number in range(count)]


ROWS_OF_ALL_FORMS = [
    SealedRow(b"", None, b"", {}, b""),
    SealedRow(b"\x00", 0, b"head", {"": b""}, b"{}"),
    SealedRow(b"\x00\x00", 2**63 - 1, b"\xff" * 70_000, {"naïve ⚕": b"\x00" * 70_000}),
    SealedRow(b"\x7f", 1, b"h", {f"column {n}": bytes([n]) for n in range(40)}),
    SealedRow(b"\x80", None, b"h", {"a": b"1"}),
    SealedRow(b"\xff" * 300, 3, b"h", {"a": b"1"}),
]


def test_rows_of_all_forms_come_back_in_the_order_of_their_bytes(store: SqlStore) -> None:
    assert store.records.put_rows("patient", reversed(ROWS_OF_ALL_FORMS)) == 6
    assert list(store.records.rows("patient")) == ROWS_OF_ALL_FORMS
    for item in ROWS_OF_ALL_FORMS:
        assert store.records.row("patient", item.record_id) == item


def test_tables_are_apart(store: SqlStore) -> None:
    store.records.put_rows("a", [row(1)])
    store.records.put_rows("b", [row(1, b"other head"), row(2)])
    assert store.records.row("a", key(1)) == row(1)
    assert list(store.records.rows("b")) == [row(1, b"other head"), row(2)]
    assert store.records.row("a", key(2)) is None
    assert store.records.tables() == ["a", "b"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, range(2 * PAGE + 5)),
        ({"limit": 3}, range(3)),
        ({"limit": PAGE}, range(PAGE)),
        ({"limit": PAGE + 1}, range(PAGE + 1)),
        ({"limit": 0}, range(0)),
        ({"after": key(PAGE)}, range(PAGE + 1, 2 * PAGE + 5)),
        ({"after": key(3), "limit": 2}, range(4, 6)),
        ({"after": key(999)}, range(0)),
        ({"record_ids": [key(7), key(999), key(3), key(7)]}, [3, 7]),
        ({"record_ids": [key(number) for number in range(999)]}, range(2 * PAGE + 5)),
        ({"record_ids": [key(7), key(8), key(3)], "after": key(3), "limit": 1}, [7]),
        ({"record_ids": []}, range(0)),
    ],
)
def test_rows_are_selected(store: SqlStore, selection: dict, expected: list[int]) -> None:  # type: ignore[type-arg]
    store.records.put_rows("patient", rows(2 * PAGE + 5))
    store.records.put_rows("other", rows(3))
    found = list(store.records.rows("patient", **selection))
    assert found == [row(number) for number in expected]


def test_an_unknown_table_has_no_rows(store: SqlStore) -> None:
    assert list(store.records.rows("patient")) == []
    assert store.records.row("patient", key(1)) is None
    assert store.records.tables() == []


@pytest.mark.parametrize("place", [0, PAGE - 1, PAGE, 2 * PAGE])
def test_an_existing_row_refuses_all_rows(store: SqlStore, place: int) -> None:
    store.records.put_rows("patient", [row(place, b"first")])
    with refused("records.exists", CallerError):
        store.records.put_rows("patient", rows(2 * PAGE + 1))
    assert list(store.records.rows("patient")) == [row(place, b"first")]


@pytest.mark.parametrize("distance", [1, PAGE + 1])
def test_a_record_id_given_twice_refuses_all_rows(store: SqlStore, distance: int) -> None:
    with refused("records.exists", CallerError):
        store.records.put_rows("patient", [*rows(distance), row(0)])
    assert store.records.tables() == []


def test_a_replaced_row_keeps_nothing_of_the_old_one(store: SqlStore) -> None:
    store.records.put_rows("patient", rows(PAGE + 2))
    new = SealedRow(key(PAGE), None, b"new", {"note": b"new", "more": b"new"}, b"new")
    assert store.records.put_rows("patient", [new, row(999)], replace=True) == 2
    assert store.records.row("patient", key(PAGE)) == new
    assert len(list(store.records.rows("patient"))) == PAGE + 3
    assert store.records.row("patient", key(PAGE + 1)) == row(PAGE + 1)


@pytest.mark.parametrize("distance", [1, PAGE + 1])
def test_of_two_replacing_rows_the_later_counts(store: SqlStore, distance: int) -> None:
    last = SealedRow(key(0), None, b"last", {"note": b"last"})
    store.records.put_rows("patient", [*rows(distance), last], replace=True)
    assert store.records.row("patient", key(0)) == last


def test_rows_may_be_rewritten_from_the_store_itself(store: SqlStore) -> None:
    store.records.put_rows("patient", rows(3 * PAGE))
    turned = (
        SealedRow(old.record_id, old.version, b"new " + old.head, old.cells, old.plain)
        for old in store.records.rows("patient")
    )
    assert store.records.put_rows("patient", turned, replace=True) == 3 * PAGE
    assert {found.head for found in store.records.rows("patient")} == {b"new head"}


@pytest.mark.parametrize(
    "error", [StoppedError(), OperationalError("select", {}, Exception("another"))]
)
def test_an_iterable_that_fails_writes_nothing_and_its_error_comes_through(
    store: SqlStore, error: Exception
) -> None:
    def failing() -> Iterator[SealedRow]:
        yield from rows(2 * PAGE)
        raise error

    with pytest.raises(type(error)) as caught:
        store.records.put_rows("patient", failing())
    assert caught.value is error
    assert store.records.tables() == []
    assert list(store.records.rows("patient")) == []


def test_an_iterable_that_writes_is_refused(store: SqlStore) -> None:
    def writing() -> Iterator[SealedRow]:
        store.counters.add("seals", 1, 10)
        yield row(1)

    with refused("store.nested-write", CallerError):
        store.records.put_rows("patient", writing())
    assert store.records.tables() == []


def test_no_rows_make_an_empty_table(store: SqlStore) -> None:
    assert store.records.put_rows("patient", []) == 0
    assert store.records.tables() == ["patient"]


def test_a_head_is_replaced_only_if_it_is_still_the_old_one(store: SqlStore) -> None:
    store.records.put_rows("patient", [row(1), row(2)])
    assert store.records.update_head("patient", key(1), b"head", b"turned")
    assert not store.records.update_head("patient", key(1), b"head", b"again")
    assert not store.records.update_head("patient", key(9), b"head", b"again")
    assert not store.records.update_head("other", key(2), b"head", b"again")
    assert list(store.records.rows("patient")) == [row(1, b"turned"), row(2)]


def test_a_table_is_deleted_with_its_rows(store: SqlStore) -> None:
    store.records.put_rows("a", rows(3))
    store.records.put_rows("b", rows(2))
    assert store.records.delete_table("a") == 3
    assert store.records.delete_table("a") == 0
    assert store.records.tables() == ["b"]
    assert list(store.records.rows("a")) == []
    assert list(store.records.rows("b")) == rows(2)
    assert store.records.put_rows("a", [SealedRow(key(1), None, b"new", {})]) == 1
    assert list(store.records.rows("a")) == [SealedRow(key(1), None, b"new", {})]
