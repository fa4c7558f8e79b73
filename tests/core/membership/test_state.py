"""What a state answers, and how it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.membership.world import (
    ANNA,
    BERND,
    CLARA,
    DEPLOYMENT,
    DORA,
    EMIL,
    PQ,
    STRANGER,
    Log,
    begin,
    founding,
    person,
    refused,
    rekey,
    signed,
    ward,
    writer,
)
from twinlock.core import cbor
from twinlock.core.membership import (
    Add,
    ColumnState,
    GroupState,
    NewEpoch,
    SetColumn,
    SetWriters,
    SignedEntry,
    apply,
    decode_state,
    encode_state,
    info_group_key,
    replay,
)


def hash_of(log: Log, seq: int) -> bytes:
    return SignedEntry.decode(log.entries[seq]).entry_hash


def history() -> Log:
    """Epoch 1 at 0, 2 at 1 (Emil removed), Emil back at 2, epoch 3 at 3, Clara's new keys at 4."""
    log = ward()
    log.say(Add(person("Emil", 1).member), ANNA)
    log.say(NewEpoch(log.next_key()), ANNA)
    new = person("Clara", 1)
    log.say(rekey(log.state, new), CLARA, new)
    return log


@pytest.mark.parametrize(
    ("member", "bound_to"),
    [
        (ANNA, [0, 1, 3, 4]),
        (DORA, [0, 1, 3, 4]),
        (EMIL, [2, 2, 3, 4]),
        (CLARA, [4, 4, 4, 4]),
    ],
    ids=["founder", "founding-member", "added-after-epoch-2", "renewed-keys-with-epoch-4"],
)
def test_a_sealed_group_key_is_bound_to_the_later_of_two_entries(
    member: Any, bound_to: list[int]
) -> None:
    """R-LOG-25: the one that gave the member's keys, the one that began the epoch."""
    log = history()
    got = [log.state.grant_hash(member.id, epoch) for epoch in (1, 2, 3, 4)]
    assert got == [hash_of(log, seq) for seq in bound_to]


def test_the_entry_hash_of_a_grant_is_known_before_the_entry_is_signed() -> None:
    """R-LOG-9, R-LOG-25: so the actor seals the new group key while others still sign."""
    state = ward(admin_k=2).state
    alone = signed(state, Add(STRANGER.member), ANNA)
    together = signed(state, Add(STRANGER.member), ANNA, BERND)
    assert alone.head != together.head
    assert apply(state, together).grant_hash(STRANGER.id, 1) == alone.entry_hash


def test_the_info_of_a_group_key_names_group_epoch_entry_and_member() -> None:
    """R-LOG-25: HPKE info, as the specification writes it."""
    state = history().state
    clara = state.members[CLARA.id].member
    expected = [
        "twinlock/v1/group-key",
        DEPLOYMENT,
        state.group_id,
        2,
        state.grant_hash(CLARA.id, 2),
        CLARA.id,
        person("Clara", 1).kem.kid,
    ]
    assert cbor.decode(state.group_key_info(CLARA.id, 2)) == expected
    assert clara.kem_kid == person("Clara", 1).kem.kid
    assert state.group_key_info(CLARA.id, 2) == info_group_key(
        deployment_id=DEPLOYMENT,
        group_id=state.group_id,
        epoch=2,
        entry_hash=state.grant_hash(CLARA.id, 2),
        member_id=CLARA.id,
        kem_kid=clara.kem_kid,
    )


@pytest.mark.parametrize(
    ("member_id", "epoch", "code"),
    [
        (STRANGER.id, 1, "log.unknown-member"),
        (ANNA.id, 0, "log.unknown-epoch"),
        (ANNA.id, 5, "log.unknown-epoch"),
    ],
)
def test_nothing_is_bound_to_a_member_or_an_epoch_that_is_not_there(
    member_id: bytes, epoch: int, code: str
) -> None:
    """R-LOG-25: neither a stranger nor an epoch that has not begun."""
    with refused(code):
        history().state.grant_hash(member_id, epoch)


def test_a_removed_member_is_granted_nothing() -> None:
    """R-LOG-18: although he is remembered."""
    state = ward().state
    assert EMIL.id in state.removed
    with refused("log.unknown-member"):
        state.group_key_info(EMIL.id, 1)


def test_a_membership_remembers_when_it_began_and_when_its_keys_did() -> None:
    """R-LOG-15, R-LOG-25: a member-rekey renews the keys, not the membership."""
    log = history()
    clara, emil = log.state.members[CLARA.id], log.state.members[EMIL.id]
    assert (clara.since_seq, clara.keys_seq, clara.keys_hash) == (0, 4, hash_of(log, 4))
    assert (emil.since_seq, emil.keys_seq, emil.keys_hash) == (2, 2, hash_of(log, 2))


def test_a_state_cannot_be_changed() -> None:
    """R-LOG-27: its mappings are read-only."""
    state: Any = ward().state
    for mapping in (state.members, state.epochs, state.writers, state.removed, state.retired):
        with pytest.raises(TypeError):
            mapping[b"x"] = 1
    with pytest.raises(AttributeError):
        state.admin_k = 0


def full_state(recovery: bytes | None = None) -> GroupState:
    log = begin(founding([ANNA, BERND], [CLARA, person("Quentin", 0, PQ)], recovery=recovery))
    log.say(SetWriters((writer("lab"), writer("intake"))), ANNA)
    log.say(SetColumn("patient", "note", ColumnState.CUT_OVER), ANNA)
    log.say(SetColumn("patient", "diagnosis", ColumnState.LEGACY), ANNA)
    log.remove(CLARA, BERND)
    return log.state


@pytest.mark.parametrize(
    "state", [begin().state, ward().state, full_state(), full_state(b"r" * 32)]
)
def test_a_snapshot_is_the_state(state: GroupState) -> None:
    """R-LOG-27: and has one encoding."""
    data = encode_state(state)
    assert decode_state(data) == state
    assert encode_state(decode_state(data)) == data


def test_a_log_goes_on_from_a_snapshot() -> None:
    """R-LOG-18, R-LOG-27: retired keys and removed members are remembered in it."""
    log = ward()
    start = decode_state(encode_state(log.state))
    with refused("log.not-allowed"):
        apply(start, signed(start, Add(EMIL.member), ANNA))
    first = len(log.entries)
    log.say(Add(person("Emil", 1).member), ANNA)
    log.remove(DORA, ANNA)
    more = log.entries[first:]
    assert replay(more, deployment_id=DEPLOYMENT, start=start) == log.state


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (7, lambda members: []),
        (7, lambda members: members[::-1]),
        (7, lambda members: [members[0], *members]),
        (9, lambda epochs: epochs[1:]),
        (10, lambda writers: writers[::-1]),
        (13, lambda columns: columns[::-1]),
        (13, lambda columns: [columns[0], *columns]),
        (14, lambda removed: removed * 2),
    ],
    ids=[
        "nobody",
        "another-order",
        "one-twice",
        "epoch-missing",
        "writers-order",
        "columns-order",
        "column-twice",
        "removed-twice",
    ],
)
def test_a_snapshot_that_no_state_encodes_to_is_refused(place: int, change: Any) -> None:
    """R-LOG-28: what no log can say, or says in another way."""
    items = cbor.decode(encode_state(full_state()))
    items[place] = change(items[place])
    with refused("format.malformed"):
        decode_state(cbor.encode(items))


def test_a_snapshot_with_a_cut_list_is_refused() -> None:
    """R-LOG-28: 24 bytes an item, no remainder."""
    items = cbor.decode(encode_state(full_state()))
    items[14] = items[14][:-1]
    with refused("format.malformed"):
        decode_state(cbor.encode(items))


def test_two_states_differ_when_their_heads_do() -> None:
    """R-LOG-9: equality covers the history, not only the members."""
    state = ward().state
    assert state != replace(state, head=bytes(32))
