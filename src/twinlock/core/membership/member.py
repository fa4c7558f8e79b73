"""A member: a name and two public keys under an id that stays when the keys change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from twinlock.core import cbor, primitives
from twinlock.core.membership import wire
from twinlock.core.membership.traits import TRAITS, require_traits, take_words
from twinlock.core.primitives import Kem


class Role(StrEnum):
    """What a member may do to the group. Both open its records."""

    ADMIN = "admin"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Member:
    """One member. ``member_id``: 16 bytes. ``kem_public``: RFC 9180 serialization for ``kem``.

    ``signing_public``: 65-byte uncompressed P-256 point. ``traits``: what the member states about
    the own ways in (traits.py). Raises CallerError ``member.name``, ``log.size`` or ``log.trait``,
    DataError ``key.malformed``.
    """

    member_id: bytes
    name: str
    kem: Kem
    kem_public: bytes
    signing_public: bytes
    traits: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        wire.require_size("member id", self.member_id, wire.ID_SIZE)
        wire.require_name(self.name)
        primitives.check_kem_public(self.kem, self.kem_public)
        primitives.check_signing_public(self.signing_public)
        require_traits(self.traits)

    @property
    def kem_kid(self) -> bytes:
        """Key id of the KEM key, 16 bytes."""
        return primitives.key_id(self.kem_public)

    @property
    def signing_kid(self) -> bytes:
        """Key id of the signing key, 16 bytes."""
        return primitives.key_id(self.signing_public)

    def items(self) -> list[Any]:
        """Return the array that stands for this member in an entry."""
        keys = [int(self.kem), self.kem_public, self.signing_public]
        return [self.member_id, self.name, *keys, sorted(self.traits)]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read what ``items`` returned. Raises ``format.malformed`` or ``key.malformed``."""
        member_id, name, kem, kem_public, signing_public, traits = wire.take_items(value, 6)
        with wire.decoding():
            return cls(
                cbor.take_bytes(member_id, wire.ID_SIZE),
                cbor.take_text(name),
                wire.take_kem(kem),
                cbor.take_bytes(kem_public),
                cbor.take_bytes(signing_public),
                take_words(traits, TRAITS),
            )


@dataclass(frozen=True, slots=True)
class Writer:
    """A writer of the group: its name and the 65-byte P-256 point that its content is signed by.

    Raises CallerError ``member.name``, DataError ``key.malformed``.
    """

    name: str
    public: bytes

    def __post_init__(self) -> None:
        wire.require_name(self.name)
        primitives.check_signing_public(self.public)

    @property
    def kid(self) -> bytes:
        """Key id of the writer key, 16 bytes."""
        return primitives.key_id(self.public)

    def items(self) -> list[Any]:
        """Return the array that stands for this writer in an entry."""
        return [self.name, self.public]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read what ``items`` returned. Raises ``format.malformed`` or ``key.malformed``."""
        name, public = wire.take_items(value, 2)
        with wire.decoding():
            return cls(cbor.take_text(name), cbor.take_bytes(public))


def take_role(value: Any) -> Role:
    """Return the role of this name, else raise ``format.malformed``."""
    text = cbor.take_text(value)
    if text not in list(Role):
        raise cbor.malformed("it names an unknown role")
    return Role(text)
