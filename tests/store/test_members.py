"""Members by name and id, their enrolments, and the list that only moves forward."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twinlock.errors import CallerError, DataError
from twinlock.store import EnrolmentList, SqlStore, StoredMember
from twinlock.store.log import Append
from twinlock.store.members import PutMember

from .expect import ALICE, BOB, refused

FIRST, SECOND = b"1" * 16, b"2" * 16


ANY = PutMember(member_id=ALICE, name="alice", counter=1, signed_list=b"signed", blobs={})
BOBS = replace(ANY, member_id=BOB, name="bob")


def test_a_member_is_found_by_name_and_by_id(store: SqlStore) -> None:
    store.members.put(BOBS)
    store.members.put(ANY)
    alice, bob = StoredMember(ALICE, "alice"), StoredMember(BOB, "bob")
    assert store.members.member("alice") == alice
    assert store.members.member_by_id(BOB) == bob
    assert store.members.members() == [alice, bob]


def test_nobody_is_found_under_a_name_or_id_that_was_not_put(store: SqlStore) -> None:
    store.members.put(ANY)
    assert store.members.member("Alice") is None
    assert store.members.member_by_id(BOB) is None


def test_a_name_belongs_to_one_member(store: SqlStore) -> None:
    store.members.put(ANY)
    store.members.put(BOBS)
    for other in (BOB, b"c" * 16):
        with refused("member.name-taken", CallerError):
            store.members.put(replace(ANY, member_id=other, counter=9))
    assert store.members.member("alice") == StoredMember(ALICE, "alice")
    assert len(store.members.members()) == 2


def test_enrolments_and_sign_ins_are_kept_per_member_and_replaced_as_a_whole(
    store: SqlStore,
) -> None:
    both = {SECOND: b"two", FIRST: b"one"}
    single = frozenset({"split"})
    store.members.put(replace(ANY, blobs=both, logins=[("split", b"v"), ("passkey", b"p")]))
    store.members.put(replace(BOBS, blobs={FIRST: b"bob's"}, logins=[("split", b"b")]))
    assert store.members.enrolments(ALICE) == {FIRST: b"one", SECOND: b"two"}
    assert store.members.logins(ALICE, "split") == [b"v"]
    new = replace(ANY, counter=2, blobs={SECOND: b"two"}, single=single)
    store.members.put(replace(new, logins=[("passkey", b"q"), ("split", b"w")]))
    assert store.members.enrolments(ALICE) == {SECOND: b"two"}
    assert sorted(store.members.logins(ALICE, "passkey")) == [b"p", b"q"]
    assert store.members.logins(ALICE, "split") == [b"w"]
    store.members.put(replace(ANY, counter=3, logins=[("passkey", None), ("passkey", b"r")]))
    assert store.members.enrolments(ALICE) == {}
    assert store.members.all_logins("passkey") == [(ALICE, b"r")]
    assert store.members.all_logins("split") == [(ALICE, b"w"), (BOB, b"b")]
    assert store.members.all_enrolments() == [(BOB, b"bob's")]


def test_a_sign_in_is_replaced_only_where_it_is_still_the_same(store: SqlStore) -> None:
    store.members.put(replace(ANY, logins=[("passkey", b"count 1")]))
    assert store.members.replace_login(ALICE, "passkey", b"count 1", b"count 2")
    assert not store.members.replace_login(ALICE, "passkey", b"count 1", b"count 3")
    assert store.members.logins(ALICE, "passkey") == [b"count 2"]


def test_a_newer_list_takes_the_place_of_the_older(store: SqlStore) -> None:
    store.members.put(replace(ANY, counter=0, signed_list=b"first"))
    store.members.put(replace(ANY, counter=7, signed_list=b"second"))
    assert store.members.enrolment_list(ALICE) == EnrolmentList(7, b"second")
    assert store.members.enrolment_list(BOB) is None


@pytest.mark.parametrize("counter", [0, 6, 7])
def test_a_list_that_is_not_newer_is_stale_and_changes_nothing(
    store: SqlStore, counter: int
) -> None:
    store.members.put(replace(ANY, counter=7, signed_list=b"newest", blobs={FIRST: b"one"}))
    appended = Append(b"g" * 32, 0, b"entry", b"h" * 32, name="ward")
    old = replace(ANY, counter=counter, blobs={SECOND: b"put back"}, appends=[appended])
    with refused("enrolment.list-stale", DataError):
        store.members.put(old)
    assert store.members.enrolment_list(ALICE) == EnrolmentList(7, b"newest")
    assert store.members.enrolments(ALICE) == {FIRST: b"one"}
    assert store.log.groups() == []


def test_ways_in_and_log_entries_are_put_together_or_not_at_all(store: SqlStore) -> None:
    founded = Append(b"g" * 32, 0, b"entry", b"h" * 32, name="ward")
    store.members.put(replace(ANY, appends=[founded]))
    assert [group.name for group in store.log.groups()] == ["ward"]
    moved = Append(b"g" * 32, 5, b"entry", b"i" * 32)
    with refused("group.log-moved", CallerError):
        store.members.put(replace(ANY, counter=2, appends=[moved]))
    assert store.members.enrolment_list(ALICE) == EnrolmentList(1, b"signed")


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
        store.members.put(replace(ANY, member_id=member_id, name=name))
    assert store.members.members() == []


@pytest.mark.parametrize("counter", [-1, 2**63, True, 1.0, "1"])
def test_a_number_that_only_one_of_the_databases_could_hold_is_refused_by_both(
    store: SqlStore, counter: int
) -> None:
    with refused("store.value-invalid", CallerError):
        store.members.put(replace(ANY, counter=counter))
