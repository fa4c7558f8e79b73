"""A group's state while a replay changes it: mutable, so that n entries cost O(n)."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from twinlock.core.membership.member import Member, Role, Writer
from twinlock.core.membership.ops import ColumnState
from twinlock.core.membership.policy import Policy
from twinlock.core.membership.state import Epoch, GroupState, Membership


@dataclass(slots=True, kw_only=True)
class Draft:
    """The fields of ``GroupState``, open. Thrown away when an entry is refused.

    ``keys_in_use`` holds the key ids of the present members' keys, two a member; ``epoch_keys`` the
    group's public keys of all epochs.
    """

    deployment_id: bytes
    group_id: bytes
    name: str
    policy: Policy
    admin_k: int
    identity_fingerprint: bytes
    recovery: bytes | None
    seq: int = 0
    head: bytes = b""
    members: dict[bytes, Membership] = field(default_factory=dict)
    admins: set[bytes] = field(default_factory=set)
    epochs: dict[int, Epoch] = field(default_factory=dict)
    writers: dict[bytes, Writer] = field(default_factory=dict)
    columns: dict[tuple[str, str], ColumnState] = field(default_factory=dict)
    removed: dict[bytes, int] = field(default_factory=dict)
    retired: dict[bytes, int] = field(default_factory=dict)
    keys_in_use: set[bytes] = field(default_factory=set)
    epoch_keys: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, state: GroupState) -> Draft:
        """Open a state; the state stays as it is."""
        return cls(
            deployment_id=state.deployment_id,
            group_id=state.group_id,
            name=state.name,
            policy=state.policy,
            admin_k=state.admin_k,
            identity_fingerprint=state.identity_fingerprint,
            recovery=state.recovery,
            seq=state.seq,
            head=state.head,
            members=dict(state.members),
            admins=set(state.admins),
            epochs=dict(state.epochs),
            writers=dict(state.writers),
            columns=dict(state.columns),
            removed=dict(state.removed),
            retired=dict(state.retired),
            keys_in_use={kid for m in state.members.values() for kid in kids_of(m.member)},
            epoch_keys={epoch.public for epoch in state.epochs.values()},
        )

    def freeze(self) -> GroupState:
        """Close the draft. It must not be used afterwards: the state holds its mappings."""
        return GroupState(
            deployment_id=self.deployment_id,
            group_id=self.group_id,
            name=self.name,
            policy=self.policy,
            seq=self.seq,
            head=self.head,
            members=MappingProxyType(self.members),
            admins=frozenset(self.admins),
            admin_k=self.admin_k,
            epochs=MappingProxyType(self.epochs),
            writers=MappingProxyType(self.writers),
            identity_fingerprint=self.identity_fingerprint,
            recovery=self.recovery,
            columns=MappingProxyType(self.columns),
            removed=MappingProxyType(self.removed),
            retired=MappingProxyType(self.retired),
        )

    def put_epoch(self, epoch: Epoch) -> None:
        """Enter the next epoch."""
        self.epochs[epoch.number] = epoch
        self.epoch_keys.add(epoch.public)

    def put_member(self, membership: Membership) -> None:
        """Enter a member, or new keys or another role of one."""
        member = membership.member
        self.members[member.member_id] = membership
        self.keys_in_use.update(kids_of(member))
        self.removed.pop(member.member_id, None)
        if membership.role is Role.ADMIN:
            self.admins.add(member.member_id)
        else:
            self.admins.discard(member.member_id)

    def drop_member(self, member_id: bytes, seq: int) -> None:
        """Take a member out and retire the keys."""
        self.retire_keys(self.members.pop(member_id).member, seq)
        self.admins.discard(member_id)
        self.removed[member_id] = seq

    def retire_keys(self, member: Member, seq: int) -> None:
        """Note that these keys were given up and never come back."""
        for kid in kids_of(member):
            self.keys_in_use.discard(kid)
            self.retired[kid] = seq


def kids_of(member: Member) -> tuple[bytes, bytes]:
    """Return the key ids of a member's two keys."""
    return member.signing_kid, member.kem_kid
