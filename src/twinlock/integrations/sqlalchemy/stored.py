"""What a row has stored, as the vault takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twinlock.core.context import Context
from twinlock.errors import CallerError, TwinlockError
from twinlock.integrations.sqlalchemy.handle import OldValue, Sealed, waits
from twinlock.integrations.sqlalchemy.loading import UNLOADED, loaded
from twinlock.integrations.sqlalchemy.mapping import SealedMapping
from twinlock.server.legacy import LegacyRow
from twinlock.server.records import AdoptedRow, SealedRow, Stored

_CELL: Final = b"TWC"
_ADOPTED: Final = b"TWA"
"""How a value under the row's DEK and an adopted head begin (SPEC sections 4 and 22)."""


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One DEK of a row: its context, what is stored, and the columns by attribute key."""

    context: Context
    stored: Stored
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LegacyItem:
    """What of a row the old key alone opens, and the columns by attribute key."""

    context: Context
    row: LegacyRow
    columns: Mapping[str, str]


@dataclass(slots=True)
class StoredRow:
    """A row taken apart: one item per DEK, legacy values, and errors of what is in neither."""

    items: list[StoredItem] = field(default_factory=list)
    legacy: LegacyItem | None = None
    errors: dict[str, TwinlockError] = field(default_factory=dict)


def stored_row(mapping: SealedMapping, row: Any, keys: Iterable[str]) -> StoredRow:
    """Take these attributes of a row apart.

    NULL attributes are in nothing of it, and a row of which all are NULL needs no record id.
    Raises CallerError ``sealed.not-loaded``, ``sealed.record`` or ``context.*``.
    """
    found = StoredRow()
    held = {key: value for key in keys if (value := loaded(row, key)) is not None}
    if not held:
        return found
    context = mapping.context(lambda key: loaded(row, key))
    cells: dict[str, bytes] = {}
    old: list[str] = []
    for key, value in held.items():
        column = mapping.attributes[key].column
        if isinstance(value, OldValue):
            old.append(key)
        elif not isinstance(value, Sealed) or waits(value):
            found.errors[key] = _not_there(mapping, key, value)
        elif value.to_bytes().startswith(_CELL):
            cells[key] = value.to_bytes()
        else:
            own = mapping.column_context(context, key)
            found.items.append(StoredItem(own, value.to_bytes(), {key: column}))
    if cells:
        _add_cells(mapping, row, context, cells, found)
    if old:
        _add_old(mapping, row, context, old, found)
    return found


def _add_cells(
    mapping: SealedMapping, row: Any, context: Context, cells: Mapping[str, bytes], found: StoredRow
) -> None:
    head = loaded(row, mapping.dek)
    if head is UNLOADED:
        found.errors.update({key: _not_there(mapping, mapping.dek, head) for key in cells})
        return
    columns = {key: mapping.attributes[key].column for key in cells}
    # Cells without a head are refused by the vault, as a damaged row.
    stored = SealedRow(bytes(head or b""), {columns[key]: cell for key, cell in cells.items()})
    found.items.insert(0, StoredItem(context, stored, columns))


def _add_old(
    mapping: SealedMapping, row: Any, context: Context, keys: list[str], found: StoredRow
) -> None:
    """Add what the old application wrote: under an adopted head, or under the old key alone."""
    if mapping.adopted is None:
        return
    columns = {key: mapping.attributes[key].column for key in keys}
    try:
        head = loaded(row, mapping.dek)
        if head is UNLOADED:
            raise _not_there(mapping, mapping.dek, head)
        cells = mapping.adopted.cells(row, context, columns.values())
        if head is not None and bytes(head).startswith(_ADOPTED):
            found.items.append(StoredItem(context, AdoptedRow(bytes(head), cells), columns))
        else:
            legacy = mapping.adopted.legacy_row(row, cells)
            found.legacy = LegacyItem(context, legacy, columns)
    except TwinlockError as error:
        found.errors.update(dict.fromkeys(keys, error))


def _not_there(mapping: SealedMapping, key: str, value: object) -> CallerError:
    if value is UNLOADED:
        return CallerError(
            "sealed.not-loaded",
            f"{key} of this {mapping.table} row is deferred and was not loaded.",
            hint="Load the row with undefer(), or name the attribute in load_only().",
        )
    return CallerError(
        "sealed.pending",
        f"{key} of this {mapping.table} row waits to be sealed, so there is nothing to open.",
        hint="Flush the session first; until then you know the value that you assigned.",
    )
