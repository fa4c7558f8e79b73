"""What a replayed log says: one frozen value that readers, writers and servers decide by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.membership import errors
from twinlock.core.membership.member import Member, Role, Writer
from twinlock.core.membership.ops import ColumnState, EpochKey
from twinlock.core.membership.pins import PinnedHead
from twinlock.core.membership.policy import Policy
from twinlock.core.primitives import Kem

_GROUP_KEY: Final = "twinlock/v1/group-key"


@dataclass(frozen=True, slots=True)
class Membership:
    """A member in a group. ``since_seq``: the entry that brought the member in.

    ``keys_seq`` and ``keys_hash``: seq and entry hash of the entry that gave the member's present
    keys, which is the same one until a member-rekey.
    """

    member: Member
    role: Role
    since_seq: int
    keys_seq: int
    keys_hash: bytes


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of the group key. ``made_by``: the member who made it, and so held its private key.

    ``seq`` and ``entry_hash`` are those of the entry that began it.
    """

    number: int
    kem: Kem
    public: bytes
    seq: int
    entry_hash: bytes
    made_by: bytes

    @property
    def key(self) -> EpochKey:
        """The public key as it stands in an entry."""
        return EpochKey(self.number, self.kem, self.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """A group after entry ``seq``. Only ``replay``, ``apply`` and ``decode_state`` make it.

    ``members`` by member id; ``epochs`` by number, 1 to the current one; ``writers`` by kid;
    ``removed``: member id to the seq at which the member went, for those who are not back;
    ``retired``: key id of every member key that was given up, to the seq at which that happened.
    ``columns``: (table, column) to the state of each adopted column. Mappings are read-only.
    """

    deployment_id: bytes
    group_id: bytes
    name: str
    policy: Policy
    seq: int
    head: bytes
    members: Mapping[bytes, Membership]
    admins: frozenset[bytes]
    admin_k: int
    epochs: Mapping[int, Epoch]
    writers: Mapping[bytes, Writer]
    identity_fingerprint: bytes
    recovery: bytes | None
    columns: Mapping[tuple[str, str], ColumnState]
    removed: Mapping[bytes, int]
    retired: Mapping[bytes, int]

    @property
    def current_epoch(self) -> Epoch:
        """The newest epoch: the only one to seal to."""
        return self.epochs[len(self.epochs)]

    @property
    def pin(self) -> PinnedHead:
        """The head to pin after this state was verified."""
        return PinnedHead(self.group_id, self.seq, self.head)

    @property
    def needs_new_epoch(self) -> bool:
        """True while the current group key was made by someone who is no longer a member.

        So it is after a leave: the one who left made that key and could have kept it.
        """
        return self.current_epoch.made_by not in self.members

    def membership(self, member_id: bytes) -> Membership:
        """Return a current member. Raises DataError ``log.unknown-member``."""
        found = self.members.get(member_id)
        if found is None:
            raise errors.unknown_member(member_id)
        return found

    def grant_hash(self, member_id: bytes, epoch: int) -> bytes:
        """Return the entry hash that a group key sealed to this member for ``epoch`` is bound to.

        It is the later of two entries: the one that gave the member's keys (add, found or
        member-rekey) and the one that began the epoch. Raises ``log.unknown-member`` or
        ``log.unknown-epoch``.
        """
        membership, began = self.membership(member_id), self.epochs.get(epoch)
        if began is None:
            raise errors.unknown_epoch(epoch)
        return membership.keys_hash if membership.keys_seq > began.seq else began.entry_hash

    def group_key_info(self, member_id: bytes, epoch: int) -> bytes:
        """Return the HPKE info for this member's sealed group key. Raises like ``grant_hash``."""
        return info_group_key(
            deployment_id=self.deployment_id,
            group_id=self.group_id,
            epoch=epoch,
            entry_hash=self.grant_hash(member_id, epoch),
            member_id=member_id,
            kem_kid=self.membership(member_id).member.kem_kid,
        )


def info_group_key(
    *,
    deployment_id: bytes,
    group_id: bytes,
    epoch: int,
    entry_hash: bytes,
    member_id: bytes,
    kem_kid: bytes,
) -> bytes:
    """Return the HPKE info that binds a sealed group key to its group, epoch, entry and member."""
    return cbor.encode([_GROUP_KEY, deployment_id, group_id, epoch, entry_hash, member_id, kem_kid])
