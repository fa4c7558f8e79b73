"""Operations that a member says alone and that bring no key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from twinlock.core import cbor
from twinlock.core.membership import wire
from twinlock.core.membership.traits import TRAITS, require_traits, take_words


@dataclass(frozen=True, slots=True)
class Restate:
    """What the actor now states about the own ways in. Keys and epoch stay.

    Raises CallerError ``log.trait``.
    """

    NAME: ClassVar = "restate"
    traits: frozenset[str]

    def __post_init__(self) -> None:
        require_traits(self.traits)

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [sorted(self.traits)]

    @classmethod
    def from_body(cls, body: Any) -> Restate:
        """Read a body. Raises ``format.malformed``."""
        (traits,) = wire.take_items(body, 1)
        return cls(take_words(traits, TRAITS))


@dataclass(frozen=True, slots=True)
class RecoveryBegin:
    """A notice: the seed of ``member_id`` (16 bytes) is being put together again from contacts.

    ``digest``: SHA-256 of the recovery request that it speaks of. Members' agents decide what
    follows from it, and whose word counts.
    """

    NAME: ClassVar = "recovery-begin"
    member_id: bytes
    digest: bytes

    def __post_init__(self) -> None:
        wire.require_size("member id", self.member_id, wire.ID_SIZE)
        wire.require_size("digest", self.digest, wire.HASH_SIZE)

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [self.member_id, self.digest]

    @classmethod
    def from_body(cls, body: Any) -> RecoveryBegin:
        """Read a body. Raises ``format.malformed``."""
        member_id, digest = wire.take_items(body, 2)
        return cls(cbor.take_bytes(member_id), cbor.take_bytes(digest))


@dataclass(frozen=True, slots=True)
class RecoveryCancel:
    """A notice: the recovery of this ``digest`` shall not go on."""

    NAME: ClassVar = "recovery-cancel"
    digest: bytes

    def __post_init__(self) -> None:
        wire.require_size("digest", self.digest, wire.HASH_SIZE)

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [self.digest]

    @classmethod
    def from_body(cls, body: Any) -> RecoveryCancel:
        """Read a body. Raises ``format.malformed``."""
        (digest,) = wire.take_items(body, 1)
        return cls(cbor.take_bytes(digest))


Notice = RecoveryBegin | RecoveryCancel
"""What changes no state of the group; only agents read it."""
