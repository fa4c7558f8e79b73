"""Membership logs: each entry in its place, once, together with the keys it hands out."""

from __future__ import annotations

import pytest

from twinlock.errors import CallerError
from twinlock.store import LogEntry, LogHead, SqlStore, StoredGroup
from twinlock.store.log import Append

from .expect import ALICE, BOB, GROUP, OTHER_GROUP, entry_hash, refused


def found(store: SqlStore, group: bytes = GROUP, name: str = "ward") -> None:
    store.log.append(Append(group, 0, name=name, signed_entry=b"entry 0", entry_hash=entry_hash(0)))


def append(store: SqlStore, seq: int) -> None:
    store.log.append(Append(GROUP, seq, signed_entry=b"entry %d" % seq, entry_hash=entry_hash(seq)))


def test_entries_and_head_follow_what_was_appended(store: SqlStore) -> None:
    found(store)
    append(store, 1)
    append(store, 2)
    everything = [LogEntry(seq, b"entry %d" % seq) for seq in range(3)]
    assert store.log.entries(GROUP) == everything
    assert store.log.entries(GROUP, since=1) == everything[1:]
    assert store.log.entries(GROUP, since=3) == []
    assert store.log.head(GROUP) == LogHead(2, entry_hash(2))


def test_an_unknown_group_has_nothing(store: SqlStore) -> None:
    assert store.log.entries(GROUP) == []
    assert store.log.head(GROUP) is None
    assert store.log.group_by_name("ward") is None
    assert store.log.heads() == {}
    assert store.log.groups() == []
    assert store.log.sealed_keys(GROUP, ALICE) == {}


def test_groups_are_listed_and_found_by_name(store: SqlStore) -> None:
    found(store, OTHER_GROUP, "emergency")
    found(store, GROUP, "ward")
    append(store, 1)
    assert store.log.groups() == [
        StoredGroup(GROUP, "ward"),
        StoredGroup(OTHER_GROUP, "emergency"),
    ]
    assert store.log.group_by_name("emergency") == OTHER_GROUP
    assert store.log.heads() == {
        GROUP: LogHead(1, entry_hash(1)),
        OTHER_GROUP: LogHead(0, entry_hash(0)),
    }


@pytest.mark.parametrize("seq", [1, 2, 4, 9], ids=["taken", "last", "gap", "far ahead"])
def test_an_entry_elsewhere_than_behind_the_last_is_refused(store: SqlStore, seq: int) -> None:
    found(store)
    append(store, 1)
    append(store, 2)
    with refused("group.log-moved", CallerError):
        append(store, seq)
    assert store.log.head(GROUP) == LogHead(2, entry_hash(2))
    assert len(store.log.entries(GROUP)) == 3


def test_a_group_is_founded_once(store: SqlStore) -> None:
    found(store)
    with refused("group.log-moved", CallerError):
        found(store, name="another name")
    assert store.log.groups() == [StoredGroup(GROUP, "ward")]


def test_a_group_name_is_taken_once(store: SqlStore) -> None:
    found(store)
    with refused("group.name-taken", CallerError):
        found(store, OTHER_GROUP, "ward")
    assert store.log.head(OTHER_GROUP) is None
    assert store.log.entries(OTHER_GROUP) == []


def test_an_entry_for_no_group_is_refused(store: SqlStore) -> None:
    with refused("group.unknown", CallerError):
        append(store, 1)


@pytest.mark.parametrize(("seq", "name"), [(0, None), (1, "ward")])
def test_a_name_comes_with_entry_zero_alone(store: SqlStore, seq: int, name: str | None) -> None:
    with refused("group.name-misplaced", CallerError):
        store.log.append(Append(GROUP, seq, name=name, signed_entry=b"", entry_hash=bytes(32)))


def test_sealed_keys_are_found_by_member_and_epoch(store: SqlStore) -> None:
    store.log.append(
        Append(
            GROUP,
            0,
            name="ward",
            signed_entry=b"entry",
            entry_hash=entry_hash(0),
            sealed_keys=[(1, ALICE, b"one"), (2, ALICE, b"two"), (1, BOB, b"three")],
        )
    )
    found(store, OTHER_GROUP, "emergency")
    assert store.log.sealed_keys(GROUP, ALICE) == {1: b"one", 2: b"two"}
    assert store.log.sealed_keys(GROUP, BOB) == {1: b"three"}
    assert store.log.sealed_keys(OTHER_GROUP, ALICE) == {}
    assert store.log.groups_of(ALICE) == [GROUP]


def test_a_removed_member_loses_the_sealed_keys_of_this_group_alone(store: SqlStore) -> None:
    for group, name in [(GROUP, "ward"), (OTHER_GROUP, "emergency")]:
        store.log.append(
            Append(
                group,
                0,
                name=name,
                signed_entry=b"entry",
                entry_hash=entry_hash(0),
                sealed_keys=[(1, ALICE, b"old"), (1, BOB, b"old")],
            )
        )
    store.log.append(
        Append(
            GROUP,
            1,
            signed_entry=b"remove bob",
            entry_hash=entry_hash(1),
            sealed_keys=[(2, ALICE, b"new")],
            drop_keys_of=[BOB],
        )
    )
    assert store.log.sealed_keys(GROUP, BOB) == {}
    assert store.log.sealed_keys(GROUP, ALICE) == {1: b"old", 2: b"new"}
    assert store.log.groups_of(BOB) == [OTHER_GROUP]


def test_keys_of_one_member_are_dropped_and_sealed_anew_in_one_entry(store: SqlStore) -> None:
    found(store)
    for seq, sealed in [(1, b"old"), (2, b"new")]:
        store.log.append(
            Append(
                GROUP,
                seq,
                signed_entry=b"entry",
                entry_hash=entry_hash(seq),
                sealed_keys=[(seq, ALICE, sealed)],
                drop_keys_of=[ALICE],
            )
        )
    assert store.log.sealed_keys(GROUP, ALICE) == {2: b"new"}


def test_a_key_of_the_same_epoch_and_member_is_replaced(store: SqlStore) -> None:
    found(store)
    for seq, sealed in [(1, b"old"), (2, b"new")]:
        store.log.append(
            Append(
                GROUP,
                seq,
                signed_entry=b"entry",
                entry_hash=entry_hash(seq),
                sealed_keys=[(1, ALICE, sealed)],
            )
        )
    assert store.log.sealed_keys(GROUP, ALICE) == {1: b"new"}


def test_a_refused_entry_leaves_sealed_keys_alone(store: SqlStore) -> None:
    found(store)
    store.log.append(
        Append(
            GROUP,
            1,
            signed_entry=b"entry",
            entry_hash=entry_hash(1),
            sealed_keys=[(1, ALICE, b"kept")],
        )
    )
    with refused("group.log-moved"):
        store.log.append(
            Append(
                GROUP,
                1,
                signed_entry=b"entry",
                entry_hash=entry_hash(1),
                sealed_keys=[(1, BOB, b"planted")],
                drop_keys_of=[ALICE],
            )
        )
    with refused("store.value-invalid"):
        store.log.append(
            Append(
                GROUP,
                2,
                signed_entry=b"entry",
                entry_hash=entry_hash(2),
                sealed_keys=[(1, BOB, b"first"), (1, b"short id", b"second")],
                drop_keys_of=[ALICE],
            )
        )
    assert store.log.sealed_keys(GROUP, ALICE) == {1: b"kept"}
    assert store.log.sealed_keys(GROUP, BOB) == {}
    assert store.log.head(GROUP) == LogHead(1, entry_hash(1))
