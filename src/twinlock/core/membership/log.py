"""The membership log: building the next entry, and replaying what others wrote."""

from __future__ import annotations

from collections.abc import Iterable

from twinlock.core import primitives
from twinlock.core.membership import errors, wire
from twinlock.core.membership.authority import check_authority, check_founder
from twinlock.core.membership.draft import Draft
from twinlock.core.membership.effects import found, perform
from twinlock.core.membership.entry import NO_PREV, Entry, SignedEntry, countersign_input
from twinlock.core.membership.ops import Found, Op
from twinlock.core.membership.pins import PinnedHead, PinWatch
from twinlock.core.membership.state import GroupState
from twinlock.errors import CallerError, DataError


def found_entry(op: Found, *, deployment_id: bytes, actor_id: bytes, time: int) -> bytes:
    """Return the bytes of entry 0, for the founding admin ``actor_id`` to sign.

    ``time``: seconds since the Unix epoch. Raises CallerError ``log.actor`` if the actor is not
    among the founding members.
    """
    wire.require_size("deployment id", deployment_id, wire.ID_SIZE)
    kids = {member.member_id: member.signing_kid for member, _ in op.members}
    if actor_id not in kids:
        raise CallerError(
            "log.actor",
            "The one who founds a group is among its founding members.",
            hint="List the founder as an admin.",
        )
    return Entry(
        deployment_id=deployment_id,
        group_id=b"",
        seq=0,
        prev=NO_PREV,
        op=op,
        actor_id=actor_id,
        actor_kid=kids[actor_id],
        time=time,
    ).encode()


def next_entry(state: GroupState, op: Op, *, actor_id: bytes, time: int) -> bytes:
    """Return the bytes of the entry after ``state``, for member ``actor_id`` to sign.

    Whether it is allowed is found out by ``apply`` on the signed entry. Raises
    ``log.unknown-member``.
    """
    return Entry(
        deployment_id=state.deployment_id,
        group_id=state.group_id,
        seq=state.seq + 1,
        prev=state.head,
        op=op,
        actor_id=actor_id,
        actor_kid=state.membership(actor_id).member.signing_kid,
        time=time,
    ).encode()


def apply(state: GroupState, signed: SignedEntry, *, log_key: bytes | None = None) -> GroupState:
    """Return the state after one more entry; costs a copy of ``state``. Raises like ``replay``."""
    draft = Draft.of(state)
    _advance(draft, signed, log_key)
    return draft.freeze()


def replay(
    entries: Iterable[bytes],
    *,
    deployment_id: bytes,
    start: GroupState | None = None,
    log_key: bytes | None = None,
    pins: Iterable[PinnedHead] = (),
) -> GroupState:
    """Verify a log and return what it says; O(n) in its entries.

    ``entries``: encoded signed entries in order, from entry 0 or from the one after ``start``, a
    state that the caller verified before. ``log_key``: the token's log key (65-byte P-256 point);
    if given, every entry must be countersigned. ``pins``: heads seen before, at or after ``start``,
    which the log must contain.

    Raises DataError ``format.*``, ``key.malformed``, ``log.unknown-op``, ``log.broken-chain``,
    ``log.wrong-group``, ``log.countersignature``, ``log.bad-signature``, ``log.not-allowed``,
    ``log.policy-lowered``, ``log.last-admin``, ``log.last-opener``, ``log.fork``, ``log.rollback``;
    CallerError ``log.pin-before-start``.
    """
    watch = PinWatch(pins)
    draft = None
    if start is not None:
        if start.deployment_id != deployment_id:
            raise errors.wrong_group("deployment")
        watch.require_from(start.seq)
        draft = Draft.of(start)
        watch.passing(draft.group_id, draft.seq, draft.head)
    for data in entries:
        signed = SignedEntry.decode(data)
        if draft is None:
            draft = _begin(signed, deployment_id, log_key)
        else:
            _advance(draft, signed, log_key)
        watch.passing(draft.group_id, draft.seq, draft.head)
    if draft is None:
        raise errors.broken_chain("it has no entries")
    watch.ended(draft.group_id, draft.seq, draft.head)
    return draft.freeze()


def _begin(signed: SignedEntry, deployment_id: bytes, log_key: bytes | None) -> Draft:
    entry = signed.entry
    if entry.deployment_id != deployment_id:
        raise errors.wrong_group("deployment")
    if not isinstance(entry.op, Found):
        raise errors.broken_chain("it does not begin with entry 0")
    if entry.prev != NO_PREV:
        raise errors.broken_chain("entry 0 names an entry before it")
    _check_countersignature(signed, log_key)
    check_founder(signed, entry.op)
    draft = found(signed, entry.op)
    draft.head = signed.head
    return draft


def _advance(draft: Draft, signed: SignedEntry, log_key: bytes | None) -> None:
    entry = signed.entry
    if entry.deployment_id != draft.deployment_id:
        raise errors.wrong_group("deployment")
    if entry.seq != draft.seq + 1:
        raise errors.broken_chain(f"entry {entry.seq} follows entry {draft.seq}")
    if entry.group_id != draft.group_id:
        raise errors.wrong_group("group")
    if entry.prev != draft.head:
        raise errors.broken_chain(f"entry {entry.seq} names another entry before it")
    _check_countersignature(signed, log_key)
    check_authority(draft, signed)
    perform(draft, signed)
    draft.seq, draft.head = entry.seq, signed.head


def _check_countersignature(signed: SignedEntry, log_key: bytes | None) -> None:
    if log_key is None:
        return
    try:
        primitives.verify(log_key, countersign_input(signed), signed.countersignature)
    except DataError as error:
        raise errors.bad_countersignature() from error
