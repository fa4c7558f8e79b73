"""Messages of recoveries: each is written once, and all of a recovery goes together."""

from __future__ import annotations

from twinlock.errors import CallerError
from twinlock.store import SqlStore
from twinlock.store.members import PutMember
from twinlock.store.recoveries import RecoveryMessage

from .expect import ALICE, BOB, refused

FIRST, SECOND, CAROL = b"1" * 32, b"2" * 32, b"c" * 16
ASKS = [RecoveryMessage(BOB, "ask", b"ask"), RecoveryMessage(CAROL, "ask", b"ask")]
REPLY = RecoveryMessage(BOB, "reply", b"reply")


def with_alice(store: SqlStore) -> SqlStore:
    put = PutMember(member_id=ALICE, name="alice", counter=1, signed_list=b"signed", blobs={})
    store.members.put(put)
    return store


def begin(store: SqlStore, digest: bytes = FIRST, *, now: int = 100, limit: int = 8) -> None:
    store.recoveries.begin(digest, ALICE, ASKS, now=now, limit=limit)


def test_a_recovery_lies_there_for_each_of_its_contacts(store: SqlStore) -> None:
    """R-CONTACTS-12."""
    begin(with_alice(store), SECOND, now=101)
    begin(store)
    store.recoveries.put(FIRST, ALICE, REPLY, now=102)
    assert store.recoveries.messages(FIRST) == [ASKS[0], REPLY, ASKS[1]]
    assert store.recoveries.for_contact(BOB, "ask") == [b"ask", b"ask"]
    assert store.recoveries.for_contact(BOB, "reply") == [b"reply"]
    assert store.recoveries.for_contact(ALICE, "ask") == []


def test_a_message_is_never_replaced(store: SqlStore) -> None:
    """R-CONTACTS-12."""
    begin(with_alice(store))
    begin(store, now=200)
    store.recoveries.put(FIRST, ALICE, REPLY, now=102)
    store.recoveries.put(FIRST, ALICE, REPLY, now=103)
    with refused("recovery.message-exists", CallerError):
        store.recoveries.put(FIRST, ALICE, RecoveryMessage(BOB, "reply", b"other"), now=104)
    assert store.recoveries.messages(FIRST)[1] == REPLY


def test_few_recoveries_of_one_member_are_open_at_a_time(store: SqlStore) -> None:
    """R-CONTACTS-12."""
    begin(with_alice(store), limit=1)
    begin(store, limit=1)
    with refused("recovery.too-many", CallerError):
        begin(store, SECOND, limit=1)
    assert store.recoveries.messages(SECOND) == []
    begin(store, SECOND, limit=2)


def test_what_was_begun_long_ago_goes_with_all_of_its_messages(store: SqlStore) -> None:
    """R-CONTACTS-12."""
    begin(with_alice(store), now=100)
    store.recoveries.put(FIRST, ALICE, REPLY, now=300)
    begin(store, SECOND, now=200)
    store.recoveries.forget_before(200)
    assert store.recoveries.messages(FIRST) == []
    assert store.recoveries.messages(SECOND) == ASKS
