"""What a handler asks to be opened: pairs of context and stored bytes, each once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Final, Self

from twinlock.core.context import Context
from twinlock.errors import CallerError
from twinlock.server.records import Sealed, SealedRow, Stored

Item = tuple[Context, Stored]
Key = tuple[Context, Hashable]
"""Equal for two items exactly when context and stored bytes are equal."""

_ENTRY: Final = 512
"""Bytes that an item takes beside what is stored: contexts, digests, objects."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a release is asked for: its purpose, and whose records are expected (names, or all)."""

    purpose: str = ""
    groups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One call that opens: its items in order, by key; equal ones share a key."""

    terms: Terms
    keys: tuple[Key, ...]
    items: Mapping[Key, Item]

    @classmethod
    def of(cls, terms: Terms, items: Iterable[Item]) -> Self:
        """Take a call's items."""
        keyed = [((context, _frozen(stored)), (context, stored)) for context, stored in items]
        return cls(terms, tuple(key for key, _ in keyed), dict(keyed))


def held_bytes(items: Mapping[Key, Item]) -> int:
    """Return about how many bytes it takes to hold items until their release arrives."""
    return sum(_size(stored) + _ENTRY for _, stored in items.values())


def _frozen(value: object) -> Hashable:
    """Return something that is equal for equal content. Sealed values refuse ``==`` themselves."""
    # The common kinds first: pages have many rows, and the general way takes its time.
    if type(value) is bytes:
        return value
    if type(value) is SealedRow:
        return (value.head, *sorted(value.cells.items()))
    if isinstance(value, Sealed):
        return value.raw
    if isinstance(value, Mapping):
        return tuple((name, _frozen(value[name])) for name in sorted(value))
    if is_dataclass(value):
        own = [_frozen(getattr(value, field.name)) for field in fields(value)]
        return (type(value).__name__, *own)
    if isinstance(value, Hashable):
        return value
    raise CallerError(
        "record.kind",
        f"A {type(value).__name__} is not what sealing returned.",
        hint="Pass what sealing returned, or the bytes that were stored.",
    )


def _size(value: object) -> int:
    if type(value) is SealedRow:
        return len(value.head) + sum(map(len, value.cells.values()))
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(entry) for entry in value.values())
    if is_dataclass(value):
        return sum(_size(getattr(value, field.name)) for field in fields(value))
    return 0
