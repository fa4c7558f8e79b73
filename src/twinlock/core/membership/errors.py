"""The errors of the membership log. All are DataError: a log is never the caller's to mend."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from twinlock.errors import DataError

if TYPE_CHECKING:
    from twinlock.core.membership.pins import PinnedHead


class Reason(StrEnum):
    """Why an entry is not allowed; stable, for callers and tests."""

    NOT_A_MEMBER = "not-a-member"
    REMOVED_MEMBER = "removed-member"
    OTHER_KEY = "other-key"
    NOT_AN_ADMIN = "not-an-admin"
    TOO_FEW_ADMINS = "too-few-admins"
    STRAY_SIGNATURE = "stray-signature"
    NEW_KEY_SIGNATURE = "new-key-signature"
    ALREADY_MEMBER = "already-member"
    UNKNOWN_MEMBER = "unknown-member"
    USE_LEAVE = "use-leave"
    KEY_IN_USE = "key-in-use"
    KEY_RETIRED = "key-retired"
    EPOCH_NUMBER = "epoch-number"
    EPOCH_KEY_REUSED = "epoch-key-reused"
    ADMIN_K_LOWERED = "admin-k-lowered"
    PQ_REQUIRED = "pq-required"
    PQ_NOT_STATED = "pq-not-stated"
    NOT_EXCEPTED = "not-excepted"


_REASONS = {
    Reason.NOT_A_MEMBER: "its signer is not a member",
    Reason.REMOVED_MEMBER: "its signer is no longer a member",
    Reason.OTHER_KEY: "it is signed with a key that the log does not give its signer",
    Reason.NOT_AN_ADMIN: "only an admin may do this",
    Reason.TOO_FEW_ADMINS: "too few admins signed it",
    Reason.STRAY_SIGNATURE: "it bears a signature that does not belong there",
    Reason.NEW_KEY_SIGNATURE: "the new signing key did not sign it",
    Reason.ALREADY_MEMBER: "that member id is in the group already",
    Reason.UNKNOWN_MEMBER: "it names somebody who is not a member",
    Reason.USE_LEAVE: "nobody removes himself; a member leaves",
    Reason.KEY_IN_USE: "this key is in use already",
    Reason.KEY_RETIRED: "this key was given up earlier in the group",
    Reason.EPOCH_NUMBER: "a new epoch has the number after the newest",
    Reason.EPOCH_KEY_REUSED: "an earlier epoch had this group key",
    Reason.ADMIN_K_LOWERED: "the number of admins who must sign may only be raised",
    Reason.PQ_REQUIRED: "the group's policy asks for MLKEM768-X25519 keys",
    Reason.PQ_NOT_STATED: "the group's policy asks every member to state pq-at-rest",
    Reason.NOT_EXCEPTED: "a member states what the group's policy makes no exception for",
}


class NotAllowedError(DataError):
    """A genuine entry that the rules of its group refuse; ``reason`` says which rule."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(
            "log.not-allowed",
            f"This entry of the membership log is not allowed: {_REASONS[reason]}.",
            hint="Ask an admin of the group; a log that holds such an entry is not to be used.",
        )
        self.reason = reason


class PinConflictError(DataError):
    """A log that contradicts a head seen before: ``log.rollback`` or ``log.fork``.

    ``pinned`` and ``shown`` are the two heads, the evidence to keep: for a fork both have one seq,
    for a rollback ``shown`` is the end of the shorter log.
    """

    def __init__(
        self, code: str, message: str, *, hint: str, pinned: PinnedHead, shown: PinnedHead
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.pinned = pinned
        self.shown = shown


def rollback(pinned: PinnedHead, shown: PinnedHead) -> PinConflictError:
    """Return ``log.rollback``."""
    return PinConflictError(
        "log.rollback",
        f"The membership log ends at {shown.seq}, but entry {pinned.seq} was seen before.",
        hint="Stop, keep both heads, and ask an admin whether the database was set back.",
        pinned=pinned,
        shown=shown,
    )


def fork(pinned: PinnedHead, shown: PinnedHead) -> PinConflictError:
    """Return ``log.fork``."""
    return PinConflictError(
        "log.fork",
        f"The membership log has another entry {pinned.seq} than the one seen before.",
        hint="Stop, keep both heads, and compare the group's fingerprint with other members.",
        pinned=pinned,
        shown=shown,
    )


def broken_chain(why: str) -> DataError:
    """Return ``log.broken-chain``; ``why`` completes the sentence."""
    return DataError(
        "log.broken-chain",
        f"The membership log is not continuous: {why}.",
        hint="Fetch the log again from entry 0, and do not use the group until it is whole.",
    )


def wrong_group(what: str) -> DataError:
    """Return ``log.wrong-group`` for an entry of another group or deployment."""
    return DataError(
        "log.wrong-group",
        f"This membership log belongs to another {what}.",
        hint="Ask for the log again by the id of the group that you mean.",
    )


def bad_signature(member_id: bytes) -> DataError:
    """Return ``log.bad-signature``; the failed check goes behind it with ``from``."""
    return DataError(
        "log.bad-signature",
        f"A signature in the membership log, by member {member_id.hex()}, does not match.",
        hint="Do not use this group; fetch its log again, and tell an admin if it stays so.",
    )


def bad_countersignature() -> DataError:
    """Return ``log.countersignature``."""
    return DataError(
        "log.countersignature",
        "An entry of the membership log is not countersigned by the token's log key.",
        hint="Wait until the server accepted it, or check the log key in the token directory.",
    )


def last_admin() -> DataError:
    """Return ``log.last-admin``."""
    return DataError(
        "log.last-admin",
        "This entry would leave the group with fewer admins than must sign its changes.",
        hint="Make another member an admin first.",
    )


def last_opener() -> DataError:
    """Return ``log.last-opener``."""
    return DataError(
        "log.last-opener",
        "This entry would leave fewer than two members who can open the group's records.",
        hint="Add another member first; only a group with a recovery group may go below two.",
    )


def policy_lowered(floors: frozenset[str]) -> DataError:
    """Return ``log.policy-lowered``, naming the floors."""
    return DataError(
        "log.policy-lowered",
        f"This entry lowers floors of the group ({', '.join(sorted(floors))}) with too few admins.",
        hint="Lowering needs the signature of every admin, or of admin_k where that is 2 or more.",
    )


def unknown_op(op: str) -> DataError:
    """Return ``log.unknown-op``: a reader never skips what it does not know."""
    return DataError(
        "log.unknown-op",
        f"The membership log holds an operation that this version does not know: {op[:40]!r}.",
        hint="Update Twinlock; until then this group cannot be used here.",
    )


def unknown_member(member_id: bytes) -> DataError:
    """Return ``log.unknown-member`` for a look-up in a state."""
    return DataError(
        "log.unknown-member",
        f"The group has no member {member_id.hex()}.",
        hint="Replay the newest log: the member may have been added or removed since.",
    )


def unknown_epoch(number: int) -> DataError:
    """Return ``log.unknown-epoch`` for a look-up in a state."""
    return DataError(
        "log.unknown-epoch",
        f"The group has no epoch {number}.",
        hint="Replay the newest log: the epoch may have begun since.",
    )
