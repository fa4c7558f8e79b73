"""A state as bytes, for the cache of one device. Not a format to exchange.

It carries no signatures: whoever stores it authenticates it (with a key of that device) and falls
back to replaying the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.membership import wire
from twinlock.core.membership.draft import Draft
from twinlock.core.membership.member import Member, Writer, take_role
from twinlock.core.membership.ops import ColumnState, EpochKey, SetColumn
from twinlock.core.membership.policy import Policy
from twinlock.core.membership.state import Epoch, GroupState, Membership

MAX_STATE_SIZE: Final = 1 << 28
"""100,000 members with MLKEM768-X25519 keys fit."""

_LABEL: Final = "twinlock/v3/log-state"
_SEQ_SIZE: Final = wire.ID_SIZE + 8


def encode_state(state: GroupState) -> bytes:
    """Return the state's deterministic encoding."""
    return cbor.encode(
        [
            _LABEL,
            state.deployment_id,
            state.group_id,
            state.name,
            state.policy.items(),
            state.seq,
            state.head,
            [_membership_items(m) for _, m in sorted(state.members.items())],
            state.admin_k,
            [_epoch_items(epoch) for _, epoch in sorted(state.epochs.items())],
            [writer.items() for _, writer in sorted(state.writers.items())],
            state.identity_fingerprint,
            state.recovery,
            [[*key, int(state.columns[key])] for key in sorted(state.columns, key=_utf8)],
            _pack_seqs(state.removed),
            _pack_seqs(state.retired),
        ]
    )


def decode_state(data: bytes) -> GroupState:
    """Read what ``encode_state`` returned; the caller has authenticated it.

    Raises DataError ``format.*`` or ``key.malformed``.
    """
    items = cbor.decode_labelled(data, _LABEL, 16, max_size=MAX_STATE_SIZE)
    _, deployment_id, group_id, name, policy, seq, head, members, admin_k, *rest = items
    epochs, writers, identity, recovery, columns, removed, retired = rest
    draft = Draft(
        deployment_id=cbor.take_bytes(deployment_id, wire.ID_SIZE),
        group_id=cbor.take_bytes(group_id, wire.HASH_SIZE),
        name=cbor.take_text(name),
        policy=Policy.from_items(policy),
        seq=cbor.take_uint(seq),
        head=cbor.take_bytes(head, wire.HASH_SIZE),
        admin_k=cbor.take_uint(admin_k),
        identity_fingerprint=cbor.take_bytes(identity, wire.HASH_SIZE),
        recovery=None if recovery is None else cbor.take_bytes(recovery, wire.HASH_SIZE),
    )
    for membership in map(_take_membership, cbor.take_list(members, 1)):
        draft.put_member(membership)
    for number, epoch in enumerate(map(_take_epoch, cbor.take_list(epochs, 1)), start=1):
        if epoch.number != number:
            raise cbor.malformed("its epochs are not numbered from 1")
        draft.put_epoch(epoch)
    draft.writers = {w.kid: w for w in map(Writer.from_items, cbor.take_list(writers))}
    draft.columns = dict(map(_take_column, cbor.take_list(columns)))
    draft.removed = _take_seqs(removed)
    draft.retired = _take_seqs(retired)
    state = draft.freeze()
    if encode_state(state) != data:
        raise cbor.malformed("it is not the encoding of a state")
    return state


def _membership_items(membership: Membership) -> list[Any]:
    return [
        membership.member.items(),
        membership.role.value,
        membership.since_seq,
        membership.keys_seq,
        membership.keys_hash,
    ]


def _take_membership(value: Any) -> Membership:
    member, role, since_seq, keys_seq, keys_hash = wire.take_items(value, 5)
    return Membership(
        Member.from_items(member),
        take_role(role),
        cbor.take_uint(since_seq),
        cbor.take_uint(keys_seq),
        cbor.take_bytes(keys_hash, wire.HASH_SIZE),
    )


def _epoch_items(epoch: Epoch) -> list[Any]:
    return [*epoch.key.items(), epoch.seq, epoch.entry_hash, epoch.made_by]


def _take_epoch(value: Any) -> Epoch:
    *key_items, seq, entry_hash, made_by = wire.take_items(value, 6)
    key = EpochKey.from_items(key_items)
    return Epoch(
        key.number,
        key.kem,
        key.public,
        cbor.take_uint(seq),
        cbor.take_bytes(entry_hash, wire.HASH_SIZE),
        cbor.take_bytes(made_by, wire.ID_SIZE),
    )


def _utf8(key: tuple[str, str]) -> tuple[bytes, bytes]:
    """The order of columns: by the UTF-8 of table, then of column."""
    return key[0].encode(), key[1].encode()


def _take_column(value: Any) -> tuple[tuple[str, str], ColumnState]:
    op = SetColumn.from_body(value)
    return op.key, op.state


def _pack_seqs(seqs: Mapping[bytes, int]) -> bytes:
    """16-byte id || 8-byte seq, ascending: one string, since there may be very many."""
    return b"".join(key + seqs[key].to_bytes(8, "big") for key in sorted(seqs))


def _take_seqs(value: Any) -> dict[bytes, int]:
    packed = cbor.take_bytes(value)
    if len(packed) % _SEQ_SIZE:
        raise cbor.malformed("a list of numbered ids is cut off")
    rows = (packed[at : at + _SEQ_SIZE] for at in range(0, len(packed), _SEQ_SIZE))
    return {row[: wire.ID_SIZE]: int.from_bytes(row[wire.ID_SIZE :], "big") for row in rows}
