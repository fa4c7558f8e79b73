"""The membership log of a group: signed, hash-chained, replayed by everybody who relies on it."""

from twinlock.core.membership.authority import required_admins
from twinlock.core.membership.card import MemberCard
from twinlock.core.membership.entry import (
    Entry,
    EntrySignature,
    SignedEntry,
    Signer,
    add_signature,
    countersign_input,
    sign_entry,
    with_countersignature,
)
from twinlock.core.membership.errors import NotAllowedError, PinConflictError, Reason
from twinlock.core.membership.fingerprint import key_fingerprint, log_fingerprint
from twinlock.core.membership.invitation import Invitation, join_tag, parse_invitation
from twinlock.core.membership.log import apply, found_entry, next_entry, replay
from twinlock.core.membership.member import Member, Role, Writer
from twinlock.core.membership.ops import (
    Add,
    ColumnState,
    EpochKey,
    Found,
    Leave,
    MemberRekey,
    NewEpoch,
    Notice,
    Op,
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
from twinlock.core.membership.pins import PinnedHead, check_against_pin
from twinlock.core.membership.policy import AgentPlacement, Policy
from twinlock.core.membership.snapshot import decode_state, encode_state
from twinlock.core.membership.state import Epoch, GroupState, Membership, info_group_key

__all__ = [
    "Add",
    "AgentPlacement",
    "ColumnState",
    "Entry",
    "EntrySignature",
    "Epoch",
    "EpochKey",
    "Found",
    "GroupState",
    "Invitation",
    "Leave",
    "Member",
    "MemberCard",
    "MemberRekey",
    "Membership",
    "NewEpoch",
    "NotAllowedError",
    "Notice",
    "Op",
    "PinConflictError",
    "PinnedHead",
    "Policy",
    "Reason",
    "RecoveryBegin",
    "RecoveryCancel",
    "Remove",
    "Restate",
    "Role",
    "SetAdmins",
    "SetColumn",
    "SetIdentity",
    "SetPolicy",
    "SetWriters",
    "SignedEntry",
    "Signer",
    "Writer",
    "add_signature",
    "apply",
    "check_against_pin",
    "countersign_input",
    "decode_state",
    "encode_state",
    "found_entry",
    "info_group_key",
    "join_tag",
    "key_fingerprint",
    "log_fingerprint",
    "next_entry",
    "parse_invitation",
    "replay",
    "required_admins",
    "sign_entry",
    "with_countersignature",
]
