"""Members by name and id, their enrolments, and the list that only moves forward."""

from __future__ import annotations

import pytest

from twinlock.errors import CallerError, DataError
from twinlock.store import EnrolmentList, SqlStore, StoredMember

from .expect import ALICE, BOB, refused

FIRST, SECOND = b"1" * 16, b"2" * 16


def test_a_member_is_found_by_name_and_by_id(store: SqlStore) -> None:
    store.members.put_member(BOB, "bob", b"card b")
    store.members.put_member(ALICE, "alice", b"card a")
    alice, bob = StoredMember(ALICE, "alice", b"card a"), StoredMember(BOB, "bob", b"card b")
    assert store.members.member("alice") == alice
    assert store.members.member_by_id(BOB) == bob
    assert store.members.members() == [alice, bob]


def test_nobody_is_found_under_a_name_or_id_that_was_not_put(store: SqlStore) -> None:
    store.members.put_member(ALICE, "alice", b"card")
    assert store.members.member("Alice") is None
    assert store.members.member_by_id(BOB) is None


def test_a_name_belongs_to_one_member(store: SqlStore) -> None:
    store.members.put_member(ALICE, "alice", b"card")
    store.members.put_member(BOB, "bob", b"card")
    for other in (BOB, b"c" * 16):
        with refused("member.name-taken", CallerError):
            store.members.put_member(other, "alice", b"planted")
    assert store.members.member("alice") == StoredMember(ALICE, "alice", b"card")
    assert len(store.members.members()) == 2


def test_a_member_gets_a_new_card(store: SqlStore) -> None:
    store.members.put_member(ALICE, "alice", b"old")
    store.members.put_member(ALICE, "alice", b"new")
    assert store.members.members() == [StoredMember(ALICE, "alice", b"new")]


def test_enrolments_are_kept_per_member(store: SqlStore) -> None:
    store.members.put_member(ALICE, "alice", b"card")
    store.members.put_member(BOB, "bob", b"card")
    store.members.put_enrolment(ALICE, SECOND, b"two")
    store.members.put_enrolment(ALICE, FIRST, b"one")
    store.members.put_enrolment(BOB, FIRST, b"bob's")
    assert store.members.enrolments(ALICE) == {FIRST: b"one", SECOND: b"two"}
    assert store.members.delete_enrolment(ALICE, FIRST)
    assert not store.members.delete_enrolment(ALICE, FIRST)
    assert store.members.enrolments(ALICE) == {SECOND: b"two"}
    assert store.members.enrolments(BOB) == {FIRST: b"bob's"}


def test_enrolments_need_a_member(store: SqlStore) -> None:
    with refused("member.unknown", CallerError):
        store.members.put_enrolment(ALICE, FIRST, b"blob")
    with refused("member.unknown", CallerError):
        store.members.put_enrolment_list(ALICE, 1, b"signed")
    assert store.members.enrolments(ALICE) == {}
    assert store.members.enrolment_list(ALICE) is None


def test_a_newer_list_takes_the_place_of_the_older(store: SqlStore) -> None:
    store.members.put_member(ALICE, "alice", b"card")
    store.members.put_enrolment_list(ALICE, 0, b"first")
    store.members.put_enrolment_list(ALICE, 7, b"second")
    assert store.members.enrolment_list(ALICE) == EnrolmentList(7, b"second")


@pytest.mark.parametrize("counter", [0, 6, 7])
def test_a_list_that_is_not_newer_is_stale(store: SqlStore, counter: int) -> None:
    store.members.put_member(ALICE, "alice", b"card")
    store.members.put_enrolment_list(ALICE, 7, b"newest")
    with refused("enrolment.list-stale", DataError):
        store.members.put_enrolment_list(ALICE, counter, b"put back")
    assert store.members.enrolment_list(ALICE) == EnrolmentList(7, b"newest")


@pytest.mark.parametrize(
    ("member_id", "name"),
    [
        (b"short", "alice"),
        (ALICE + b"x", "alice"),
        ("a" * 16, "alice"),
        (bytearray(16), "alice"),
        (ALICE, "al\0ice"),
        (ALICE, "al\ud800ice"),
        (ALICE, b"alice"),
    ],
)
def test_what_only_one_of_the_databases_could_hold_is_refused_by_both(
    store: SqlStore, member_id: bytes, name: str
) -> None:
    with refused("store.value-invalid", CallerError):
        store.members.put_member(member_id, name, b"card")
    assert store.members.members() == []


@pytest.mark.parametrize("counter", [-1, 2**63, True, 1.0, "1"])
def test_a_number_that_only_one_of_the_databases_could_hold_is_refused_by_both(
    store: SqlStore, counter: int
) -> None:
    store.members.put_member(ALICE, "alice", b"card")
    with refused("store.value-invalid", CallerError):
        store.members.put_enrolment_list(ALICE, counter, b"signed")
