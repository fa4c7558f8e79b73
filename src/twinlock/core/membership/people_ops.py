"""Operations that change who is in the group, or its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from twinlock.core import cbor, primitives
from twinlock.core.membership import wire
from twinlock.core.membership.member import Member, Role, take_role
from twinlock.core.membership.policy import Policy
from twinlock.core.membership.traits import TRAITS, require_traits, take_words
from twinlock.core.primitives import Kem
from twinlock.errors import CallerError

MAX_FOUNDERS: Final = 256
MAX_EPOCH: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class EpochKey:
    """The group's public key of one epoch; epochs are numbered from 1."""

    number: int
    kem: Kem
    public: bytes

    def __post_init__(self) -> None:
        if not 1 <= self.number <= MAX_EPOCH:
            raise CallerError(
                "log.epoch-number",
                "An epoch is numbered from 1.",
                hint="Take the number after the current epoch's.",
            )
        primitives.check_kem_public(self.kem, self.public)

    def items(self) -> list[Any]:
        """Return the three items that stand for this key in a body."""
        return [self.number, int(self.kem), self.public]

    @classmethod
    def from_items(cls, value: Any) -> EpochKey:
        """Read what ``items`` returned. Raises ``format.malformed`` or ``key.malformed``."""
        number, kem, public = wire.take_items(value, 3)
        with wire.decoding():
            return cls(cbor.take_uint(number), wire.take_kem(kem), cbor.take_bytes(public))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Entry 0. ``nonce``: 16 random bytes. ``identity_fingerprint``: SHA-256 of the SPKI (DER) of
    the token's identity key. ``recovery``: id of the group that can open when this one cannot."""

    NAME: ClassVar = "found"
    nonce: bytes
    name: str
    policy: Policy
    kem: Kem
    public: bytes
    members: tuple[tuple[Member, Role], ...]
    admin_k: int
    identity_fingerprint: bytes
    recovery: bytes | None = None

    def __post_init__(self) -> None:
        wire.require_size("nonce", self.nonce, wire.ID_SIZE)
        wire.require_name(self.name)
        wire.require_size("fingerprint", self.identity_fingerprint, wire.HASH_SIZE)
        if self.recovery is not None:
            wire.require_size("recovery group id", self.recovery, wire.HASH_SIZE)
        wire.require_count("founding members", len(self.members), 1, MAX_FOUNDERS)
        wire.require_count("required admins", self.admin_k, 1, wire.MAX_ADMINS)
        primitives.check_kem_public(self.kem, self.public)

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [
            self.nonce,
            self.name,
            self.policy.items(),
            int(self.kem),
            self.public,
            [[member.items(), role.value] for member, role in self.members],
            self.admin_k,
            self.identity_fingerprint,
            self.recovery,
        ]

    @classmethod
    def from_body(cls, body: Any) -> Found:
        """Read a body. Raises ``format.malformed`` or ``key.malformed``."""
        nonce, name, policy, kem, public, members, admin_k, identity, recovery = wire.take_items(
            body, 9
        )
        return cls(
            nonce=cbor.take_bytes(nonce),
            name=cbor.take_text(name),
            policy=Policy.from_items(policy),
            kem=wire.take_kem(kem),
            public=cbor.take_bytes(public),
            members=tuple(_take_founder(item) for item in cbor.take_list(members, 1, MAX_FOUNDERS)),
            admin_k=cbor.take_uint(admin_k),
            identity_fingerprint=cbor.take_bytes(identity),
            recovery=None if recovery is None else cbor.take_bytes(recovery),
        )


@dataclass(frozen=True, slots=True)
class Add:
    """A new member; also one who comes back after a removal, with other keys."""

    NAME: ClassVar = "add"
    member: Member
    role: Role = Role.MEMBER

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [self.member.items(), self.role.value]

    @classmethod
    def from_body(cls, body: Any) -> Add:
        """Read a body. Raises ``format.malformed`` or ``key.malformed``."""
        return cls(*_take_founder(body))


@dataclass(frozen=True, slots=True)
class Remove:
    """A member goes and the next epoch begins, in one entry: no moment lies between."""

    NAME: ClassVar = "remove"
    member_id: bytes
    epoch_key: EpochKey

    def __post_init__(self) -> None:
        wire.require_size("member id", self.member_id, wire.ID_SIZE)

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [self.member_id, *self.epoch_key.items()]

    @classmethod
    def from_body(cls, body: Any) -> Remove:
        """Read a body. Raises ``format.malformed`` or ``key.malformed``."""
        member_id, *epoch_key = wire.take_items(body, 4)
        return cls(cbor.take_bytes(member_id), EpochKey.from_items(epoch_key))


@dataclass(frozen=True, slots=True)
class Leave:
    """The actor goes and begins the next epoch; see ``GroupState.needs_new_epoch``."""

    NAME: ClassVar = "leave"
    epoch_key: EpochKey

    def body(self) -> list[Any]:
        """Return the body's items."""
        return self.epoch_key.items()

    @classmethod
    def from_body(cls, body: Any) -> Leave:
        """Read a body. Raises ``format.malformed`` or ``key.malformed``."""
        return cls(EpochKey.from_items(body))


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """The next epoch of the group key, with no change of members."""

    NAME: ClassVar = "new-epoch"
    epoch_key: EpochKey

    def body(self) -> list[Any]:
        """Return the body's items."""
        return self.epoch_key.items()

    @classmethod
    def from_body(cls, body: Any) -> NewEpoch:
        """Read a body. Raises ``format.malformed`` or ``key.malformed``."""
        return cls(EpochKey.from_items(body))


@dataclass(frozen=True, slots=True)
class MemberRekey:
    """The actor's new keys, what they are guarded by, and the next epoch.

    Signed with the old signing key and the new one.
    """

    NAME: ClassVar = "member-rekey"
    kem: Kem
    kem_public: bytes
    signing_public: bytes
    epoch_key: EpochKey
    traits: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        primitives.check_kem_public(self.kem, self.kem_public)
        primitives.check_signing_public(self.signing_public)
        require_traits(self.traits)

    def body(self) -> list[Any]:
        """Return the body's items."""
        keys = [int(self.kem), self.kem_public, self.signing_public]
        return [*keys, sorted(self.traits), *self.epoch_key.items()]

    @classmethod
    def from_body(cls, body: Any) -> MemberRekey:
        """Read a body. Raises ``format.malformed`` or ``key.malformed``."""
        kem, kem_public, signing_public, traits, *epoch_key = wire.take_items(body, 7)
        return cls(
            wire.take_kem(kem),
            cbor.take_bytes(kem_public),
            cbor.take_bytes(signing_public),
            EpochKey.from_items(epoch_key),
            take_words(traits, TRAITS),
        )


def _take_founder(value: Any) -> tuple[Member, Role]:
    member, role = wire.take_items(value, 2)
    return Member.from_items(member), take_role(role)
