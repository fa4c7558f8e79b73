"""The operations of the membership log: all that an entry can say, by its name on the wire.

Whether an operation is allowed is not decided here (authority.py, effects.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twinlock.core.membership import errors, wire
from twinlock.core.membership.own_ops import Notice, RecoveryBegin, RecoveryCancel, Restate
from twinlock.core.membership.people_ops import (
    Add,
    EpochKey,
    Found,
    Leave,
    MemberRekey,
    NewEpoch,
    Remove,
)
from twinlock.core.membership.settings_ops import (
    ColumnState,
    SetAdmins,
    SetColumn,
    SetIdentity,
    SetPolicy,
    SetWriters,
)

__all__ = [
    "Add",
    "ColumnState",
    "EpochKey",
    "Found",
    "Leave",
    "MemberRekey",
    "NewEpoch",
    "Notice",
    "Op",
    "RecoveryBegin",
    "RecoveryCancel",
    "Remove",
    "Restate",
    "SetAdmins",
    "SetColumn",
    "SetIdentity",
    "SetPolicy",
    "SetWriters",
    "decode_op",
]

Op = (
    Found
    | Add
    | Remove
    | Leave
    | NewEpoch
    | MemberRekey
    | Restate
    | Notice
    | SetAdmins
    | SetWriters
    | SetIdentity
    | SetPolicy
    | SetColumn
)

_READERS: Final[dict[str, Callable[[Any], Op]]] = {
    Found.NAME: Found.from_body,
    Add.NAME: Add.from_body,
    Remove.NAME: Remove.from_body,
    Leave.NAME: Leave.from_body,
    NewEpoch.NAME: NewEpoch.from_body,
    MemberRekey.NAME: MemberRekey.from_body,
    Restate.NAME: Restate.from_body,
    RecoveryBegin.NAME: RecoveryBegin.from_body,
    RecoveryCancel.NAME: RecoveryCancel.from_body,
    SetAdmins.NAME: SetAdmins.from_body,
    SetWriters.NAME: SetWriters.from_body,
    SetIdentity.NAME: SetIdentity.from_body,
    SetPolicy.NAME: SetPolicy.from_body,
    SetColumn.NAME: SetColumn.from_body,
}


def decode_op(name: str, body: Any) -> Op:
    """Read an operation. Raises ``log.unknown-op``, ``format.malformed`` or ``key.malformed``."""
    reader = _READERS.get(name)
    if reader is None:
        raise errors.unknown_op(name)
    with wire.decoding():
        return reader(body)
