"""Who may say it: signatures of an entry, and how many admins it needs."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from twinlock.core import primitives
from twinlock.core.membership import errors
from twinlock.core.membership.draft import Draft
from twinlock.core.membership.entry import EntrySignature, SignedEntry
from twinlock.core.membership.errors import NotAllowedError, Reason
from twinlock.core.membership.member import Role
from twinlock.core.membership.ops import (
    ColumnState,
    Found,
    Leave,
    MemberRekey,
    Op,
    RecoveryBegin,
    RecoveryCancel,
    Restate,
    SetColumn,
    SetPolicy,
)
from twinlock.core.membership.policy import Policy
from twinlock.errors import DataError

_OWN_OPS: Final = (Found, Leave, MemberRekey, Restate, RecoveryBegin, RecoveryCancel)
"""What one person says for himself; everything else is said by admins."""


class _Rules(Protocol):
    """What ``required_admins`` reads; a GroupState and a Draft both have it."""

    @property
    def policy(self) -> Policy: ...
    @property
    def admin_k(self) -> int: ...
    @property
    def admins(self) -> AbstractSet[bytes]: ...
    @property
    def columns(self) -> Mapping[tuple[str, str], ColumnState]: ...


def required_admins(state: _Rules, op: Op) -> int:
    """Return how many distinct admins must sign ``op``; 0 for what a member does for himself.

    Lowering a floor takes admin_k of them if that is 2 or more, else every admin.
    """
    if isinstance(op, _OWN_OPS):
        return 0
    if state.admin_k < 2 and _lowered(state, op):
        return len(state.admins)
    return state.admin_k


def _lowered(state: _Rules, op: Op) -> frozenset[str]:
    """Return the names of the floors that ``op`` lowers.

    To read a column's legacy values again after its cut-over lowers one; to allow it at first
    does not, since the column was never anything else.
    """
    if isinstance(op, SetPolicy):
        return state.policy.lowers(op.policy)
    if isinstance(op, SetColumn) and op.state is ColumnState.LEGACY:
        cut_over = state.columns.get(op.key) is ColumnState.CUT_OVER
        return frozenset({"cut_over"} if cut_over else ())
    return frozenset()


def check_founder(signed: SignedEntry, op: Found) -> None:
    """Check that a founding admin, alone, signed entry 0.

    Raises ``log.bad-signature`` or ``log.not-allowed``.
    """
    actor_id = signed.entry.actor_id
    named = {member.member_id: (member, role) for member, role in op.members}
    if actor_id not in named:
        raise NotAllowedError(Reason.NOT_A_MEMBER)
    founder, role = named[actor_id]
    _check_actor(signed, founder.signing_public)
    if role is not Role.ADMIN:
        raise NotAllowedError(Reason.NOT_AN_ADMIN)
    if len(signed.signatures) > 1:
        raise NotAllowedError(Reason.STRAY_SIGNATURE)


def check_authority(draft: Draft, signed: SignedEntry) -> None:
    """Check every signature, and that those who signed may do this together.

    Raises ``log.bad-signature``, ``log.not-allowed`` or ``log.policy-lowered``.
    """
    op, actor_id = signed.entry.op, signed.entry.actor_id
    _check_actor(signed, _signing_key_of(draft, actor_id))
    if isinstance(op, MemberRekey):
        _check_new_key(signed, op)
    elif isinstance(op, _OWN_OPS):
        if len(signed.signatures) > 1:
            raise NotAllowedError(Reason.STRAY_SIGNATURE)
    else:
        _check_admins(draft, signed)


def _check_actor(signed: SignedEntry, signing_public: bytes) -> None:
    first, entry = signed.signatures[0], signed.entry
    if (first.member_id, first.kid) != (entry.actor_id, entry.actor_kid):
        raise errors.bad_signature(entry.actor_id)
    if first.kid != primitives.key_id(signing_public):
        raise NotAllowedError(Reason.OTHER_KEY)
    _verify(signing_public, signed, first)


def _check_new_key(signed: SignedEntry, op: MemberRekey) -> None:
    new_kid = primitives.key_id(op.signing_public)
    if len(signed.signatures) != 2:
        raise NotAllowedError(Reason.NEW_KEY_SIGNATURE)
    second = signed.signatures[1]
    if (second.member_id, second.kid) != (signed.entry.actor_id, new_kid):
        raise NotAllowedError(Reason.NEW_KEY_SIGNATURE)
    _verify(op.signing_public, signed, second)


def _check_admins(draft: Draft, signed: SignedEntry) -> None:
    op = signed.entry.op
    if signed.entry.actor_id not in draft.admins:
        raise NotAllowedError(Reason.NOT_AN_ADMIN)
    signers = {signed.entry.actor_id}
    for signature in signed.signatures[1:]:
        if signature.member_id in signers or signature.member_id not in draft.admins:
            raise NotAllowedError(Reason.STRAY_SIGNATURE)
        public = _signing_key_of(draft, signature.member_id)
        if signature.kid != primitives.key_id(public):
            raise NotAllowedError(Reason.OTHER_KEY)
        _verify(public, signed, signature)
        signers.add(signature.member_id)
    if len(signers) >= required_admins(draft, op):
        return
    if lowered := _lowered(draft, op):
        raise errors.policy_lowered(lowered)
    raise NotAllowedError(Reason.TOO_FEW_ADMINS)


def _signing_key_of(draft: Draft, member_id: bytes) -> bytes:
    membership = draft.members.get(member_id)
    if membership is None:
        gone = member_id in draft.removed
        raise NotAllowedError(Reason.REMOVED_MEMBER if gone else Reason.NOT_A_MEMBER)
    return membership.member.signing_public


def _verify(public: bytes, signed: SignedEntry, signature: EntrySignature) -> None:
    try:
        primitives.verify(public, signed.entry_bytes, signature.signature)
    except DataError as error:
        raise errors.bad_signature(signature.member_id) from error
