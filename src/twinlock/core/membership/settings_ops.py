"""Operations that change a group's rules and the keys that it trusts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final

from twinlock.core import cbor
from twinlock.core.membership import wire
from twinlock.core.membership.member import Writer
from twinlock.core.membership.policy import Policy
from twinlock.errors import CallerError

MAX_WRITERS: Final = 4096


class ColumnState(IntEnum):
    """How far the adoption of a column has come, as the group's admins signed it.

    LEGACY: values that only the old key locks may still be read, with no member. CUT_OVER: they
    are refused, whoever brings them.
    """

    LEGACY = 1
    CUT_OVER = 2


@dataclass(frozen=True, slots=True)
class SetAdmins:
    """The complete list of admins, ascending, and how many of them must sign a change."""

    NAME: ClassVar = "set-admins"
    admins: frozenset[bytes]
    admin_k: int

    def __post_init__(self) -> None:
        for member_id in self.admins:
            wire.require_size("member id", member_id, wire.ID_SIZE)
        wire.require_count("admins", len(self.admins), 0, wire.MAX_ADMINS)
        wire.require_count("required admins", self.admin_k, 1, wire.MAX_ADMINS)

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [sorted(self.admins), self.admin_k]

    @classmethod
    def from_body(cls, body: Any) -> SetAdmins:
        """Read a body. Raises ``format.malformed``."""
        admins, admin_k = wire.take_items(body, 2)
        ids = [cbor.take_bytes(item) for item in cbor.take_list(admins, 0, wire.MAX_ADMINS)]
        if ids != sorted(set(ids)):
            raise cbor.malformed("its admins are not in ascending order")
        return cls(frozenset(ids), cbor.take_uint(admin_k))


@dataclass(frozen=True, slots=True)
class SetWriters:
    """The complete list of writers; an empty one means that nobody's content is accepted."""

    NAME: ClassVar = "set-writers"
    writers: tuple[Writer, ...]

    def __post_init__(self) -> None:
        wire.require_count("writers", len(self.writers), 0, MAX_WRITERS)
        if len({writer.public for writer in self.writers}) != len(self.writers):
            raise CallerError(
                "log.writer-twice",
                "Two writers of this list have the same key.",
                hint="Give every writer a key of its own; then a signature names its writer.",
            )

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [[writer.items() for writer in self.writers]]

    @classmethod
    def from_body(cls, body: Any) -> SetWriters:
        """Read a body. Raises ``format.malformed`` or ``key.malformed``."""
        (writers,) = wire.take_items(body, 1)
        return cls(
            tuple(Writer.from_items(item) for item in cbor.take_list(writers, 0, MAX_WRITERS))
        )


@dataclass(frozen=True, slots=True)
class SetIdentity:
    """SHA-256 of the SPKI (DER) of the token's new identity key: members vouch for it."""

    NAME: ClassVar = "set-identity"
    fingerprint: bytes

    def __post_init__(self) -> None:
        wire.require_size("fingerprint", self.fingerprint, wire.HASH_SIZE)

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [self.fingerprint]

    @classmethod
    def from_body(cls, body: Any) -> SetIdentity:
        """Read a body. Raises ``format.malformed``."""
        (fingerprint,) = wire.take_items(body, 1)
        return cls(cbor.take_bytes(fingerprint))


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """The group's whole policy from here on."""

    NAME: ClassVar = "set-policy"
    policy: Policy

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [self.policy.items()]

    @classmethod
    def from_body(cls, body: Any) -> SetPolicy:
        """Read a body. Raises ``format.malformed``."""
        (policy,) = wire.take_items(body, 1)
        return cls(Policy.from_items(policy))


@dataclass(frozen=True, slots=True)
class SetColumn:
    """The state of one adopted column, by the names that contexts give table and column."""

    NAME: ClassVar = "set-column"
    table: str
    column: str
    state: ColumnState

    def __post_init__(self) -> None:
        wire.require_name(self.table)
        wire.require_name(self.column)

    @property
    def key(self) -> tuple[str, str]:
        """The column's place in ``GroupState.columns``."""
        return self.table, self.column

    def body(self) -> list[Any]:
        """Return the body's items."""
        return [self.table, self.column, int(self.state)]

    @classmethod
    def from_body(cls, body: Any) -> SetColumn:
        """Read a body. Raises ``format.malformed``."""
        table, column, state = wire.take_items(body, 3)
        return cls(cbor.take_text(table), cbor.take_text(column), take_column_state(state))


def take_column_state(value: Any) -> ColumnState:
    """Return the column state of this number, else raise ``format.malformed``."""
    number = cbor.take_uint(value)
    if number not in list(ColumnState):
        raise cbor.malformed("it names an unknown state of a column")
    return ColumnState(number)
