"""What an entry does to its group, and what no signature makes possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from twinlock.core.membership import errors
from twinlock.core.membership.draft import Draft, kids_of
from twinlock.core.membership.entry import SignedEntry
from twinlock.core.membership.errors import NotAllowedError, Reason
from twinlock.core.membership.member import Member, Role
from twinlock.core.membership.ops import (
    Add,
    EpochKey,
    Found,
    Leave,
    MemberRekey,
    NewEpoch,
    RecoveryBegin,
    RecoveryCancel,
    Remove,
    Restate,
    SetAdmins,
    SetColumn,
    SetIdentity,
    SetPolicy,
    SetWriters,
)
from twinlock.core.membership.policy import Policy
from twinlock.core.membership.state import Epoch, Membership
from twinlock.core.membership.traits import EXCEPTIONS, PQ_AT_REST
from twinlock.core.primitives import Kem


def found(signed: SignedEntry, op: Found) -> Draft:
    """Begin a group. Raises ``log.not-allowed`` or ``log.last-admin``."""
    draft = Draft(
        deployment_id=signed.entry.deployment_id,
        group_id=signed.entry_hash,
        name=op.name,
        policy=op.policy,
        admin_k=op.admin_k,
        identity_fingerprint=op.identity_fingerprint,
        recovery=op.recovery,
    )
    for member, role in op.members:
        _enter(draft, signed, member, role)
    _begin_epoch(draft, signed, EpochKey(1, op.kem, op.public))
    _require_admins(draft)
    return draft


def perform(draft: Draft, signed: SignedEntry) -> None:
    """Change ``draft`` as the entry says; its signers were checked before.

    Raises ``log.not-allowed``, ``log.last-admin`` or ``log.last-opener``; the draft is then void.
    """
    entry = signed.entry
    match entry.op:
        case Found():
            raise errors.broken_chain("a group is founded once, in entry 0")
        case Add(member, role):
            _enter(draft, signed, member, role)
        case Remove(member_id, epoch_key):
            if member_id == entry.actor_id:
                raise NotAllowedError(Reason.USE_LEAVE)
            _go(draft, signed, member_id, epoch_key)
        case Leave(epoch_key):
            _go(draft, signed, entry.actor_id, epoch_key)
        case NewEpoch(epoch_key):
            _begin_epoch(draft, signed, epoch_key)
        case MemberRekey() as op:
            _rekey(draft, signed, op)
        case Restate(traits):
            _restate(draft, entry.actor_id, traits)
        case RecoveryBegin() | RecoveryCancel():
            pass  # A notice to the members' agents; the group stays as it is.
        case _:
            _set(draft, entry.op)


def _set(draft: Draft, op: SetAdmins | SetWriters | SetIdentity | SetPolicy | SetColumn) -> None:
    match op:
        case SetAdmins():
            _set_admins(draft, op)
        case SetWriters(writers):
            draft.writers = {writer.kid: writer for writer in writers}
        case SetIdentity(fingerprint):
            draft.identity_fingerprint = fingerprint
        case SetPolicy(policy):
            _set_policy(draft, policy)
        case SetColumn():
            draft.columns[op.key] = op.state
        case _:
            assert_never(op)


def _enter(draft: Draft, signed: SignedEntry, member: Member, role: Role) -> None:
    if member.member_id in draft.members:
        raise NotAllowedError(Reason.ALREADY_MEMBER)
    _require_fresh_keys(draft, member)
    seq = signed.entry.seq
    draft.put_member(Membership(member, role, seq, seq, signed.entry_hash))


def _go(draft: Draft, signed: SignedEntry, member_id: bytes, epoch_key: EpochKey) -> None:
    if member_id not in draft.members:
        raise NotAllowedError(Reason.UNKNOWN_MEMBER)
    draft.drop_member(member_id, signed.entry.seq)
    _require_admins(draft)
    # Whoever goes leaves an admin behind, so the group had two members before.
    if len(draft.members) < 2 and draft.recovery is None:
        raise errors.last_opener()
    _begin_epoch(draft, signed, epoch_key)


def _rekey(draft: Draft, signed: SignedEntry, op: MemberRekey) -> None:
    entry, old = signed.entry, draft.members[signed.entry.actor_id]
    member = replace(
        old.member,
        kem=op.kem,
        kem_public=op.kem_public,
        signing_public=op.signing_public,
        traits=op.traits,
    )
    draft.retire_keys(old.member, entry.seq)
    _require_fresh_keys(draft, member)
    draft.put_member(replace(old, member=member, keys_seq=entry.seq, keys_hash=signed.entry_hash))
    _begin_epoch(draft, signed, op.epoch_key)


def _restate(draft: Draft, member_id: bytes, traits: frozenset[str]) -> None:
    membership = draft.members[member_id]
    member = replace(membership.member, traits=traits)
    _require_floors(draft.policy, [member])
    draft.put_member(replace(membership, member=member))


def _begin_epoch(draft: Draft, signed: SignedEntry, key: EpochKey) -> None:
    if key.number != len(draft.epochs) + 1:
        raise NotAllowedError(Reason.EPOCH_NUMBER)
    if key.public in draft.epoch_keys:
        raise NotAllowedError(Reason.EPOCH_KEY_REUSED)
    _require_kem(draft.policy, key.kem)
    entry = signed.entry
    draft.put_epoch(
        Epoch(key.number, key.kem, key.public, entry.seq, signed.entry_hash, entry.actor_id)
    )


def _set_admins(draft: Draft, op: SetAdmins) -> None:
    if op.admin_k < draft.admin_k:
        raise NotAllowedError(Reason.ADMIN_K_LOWERED)
    if not op.admins <= draft.members.keys():
        raise NotAllowedError(Reason.UNKNOWN_MEMBER)
    for member_id in op.admins ^ draft.admins:
        role = Role.ADMIN if member_id in op.admins else Role.MEMBER
        draft.put_member(replace(draft.members[member_id], role=role))
    draft.admin_k = op.admin_k
    _require_admins(draft)


def _set_policy(draft: Draft, policy: Policy) -> None:
    before = draft.policy
    if policy.pq_at_rest > before.pq_at_rest or not before.exceptions <= policy.exceptions:
        _require_kem(policy, draft.epochs[len(draft.epochs)].kem)
        _require_floors(policy, [membership.member for membership in draft.members.values()])
    draft.policy = policy


def _require_fresh_keys(draft: Draft, member: Member) -> None:
    """A key has one member and one use: so k signatures are k members', and none returns."""
    _require_floors(draft.policy, [member])
    if member.kem_kid == member.signing_kid:
        raise NotAllowedError(Reason.KEY_IN_USE)
    for kid in kids_of(member):
        if kid in draft.keys_in_use:
            raise NotAllowedError(Reason.KEY_IN_USE)
        if kid in draft.retired:
            raise NotAllowedError(Reason.KEY_RETIRED)


def _require_floors(policy: Policy, members: Sequence[Member]) -> None:
    """What the policy asks of members' keys and of what they state about their ways in."""
    for member in members:
        _require_kem(policy, member.kem)
    if policy.pq_at_rest and not all(PQ_AT_REST in member.traits for member in members):
        raise NotAllowedError(Reason.PQ_NOT_STATED)
    if any((member.traits & EXCEPTIONS) - policy.exceptions for member in members):
        raise NotAllowedError(Reason.NOT_EXCEPTED)


def _require_kem(policy: Policy, kem: Kem) -> None:
    if policy.pq_at_rest and kem is not Kem.MLKEM768_X25519:
        raise NotAllowedError(Reason.PQ_REQUIRED)


def _require_admins(draft: Draft) -> None:
    if len(draft.admins) < draft.admin_k:
        raise errors.last_admin()
