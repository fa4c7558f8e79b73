"""What a row has stored, as the vault takes it, without loading more than SQLAlchemy would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import inspect
from sqlalchemy.util.concurrency import in_greenlet

from twinlock.core.context import Context
from twinlock.errors import CallerError, TwinlockError
from twinlock.integrations.sqlalchemy.handle import Sealed, waits
from twinlock.integrations.sqlalchemy.mapping import SealedMapping
from twinlock.server.records import SealedRow, Stored

_CELL: Final = b"TWC"
"""How a value under the row's DEK begins (SPEC section 4)."""

UNLOADED: Final = object()
"""Stands for a deferred attribute, which is not loaded by asking for it."""


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One DEK of a row: its context, what is stored, and the columns by attribute key."""

    context: Context
    stored: Stored
    columns: Mapping[str, str]


def loaded(row: Any, key: str) -> Any:
    """Return an attribute's value, or UNLOADED.

    An expired attribute is refreshed as by access to it. Raises CallerError ``sealed.not-loaded``
    where that cannot be done: in an AsyncSession, or outside of any.
    """
    state = inspect(row)
    if key in state.dict:
        return state.dict[key]
    if state.key is None:
        return None
    if key not in state.expired_attributes or state.mapper.attrs[key].deferred:
        return UNLOADED
    if state.session is None or (state.async_session is not None and not in_greenlet()):
        raise CallerError(
            "sealed.not-loaded",
            f"A {type(row).__name__} was expired and cannot be loaded again from here.",
            hint="Refresh it first (await session.refresh(row)), or use expire_on_commit=False.",
        )
    return getattr(row, key)


def stored_items(
    mapping: SealedMapping, row: Any, keys: Iterable[str]
) -> tuple[list[StoredItem], dict[str, TwinlockError]]:
    """Return one item per DEK of these attributes, and the errors of those that have none.

    NULL attributes are in neither, and a row of which all are NULL needs no record id.
    """
    held = {key: value for key in keys if (value := loaded(row, key)) is not None}
    if not held:
        return [], {}
    context = mapping.context(lambda key: loaded(row, key))
    cells: dict[str, bytes] = {}
    items: list[StoredItem] = []
    errors: dict[str, TwinlockError] = {}
    for key, value in held.items():
        if not isinstance(value, Sealed) or waits(value):
            errors[key] = _not_there(mapping, key, value)
            continue
        raw = value.to_bytes()
        if raw.startswith(_CELL):
            cells[key] = raw
        else:
            column = mapping.attributes[key].column
            items.append(StoredItem(mapping.column_context(context, key), raw, {key: column}))
    if cells:
        _add_row(mapping, row, context, cells, items, errors)
    return items, errors


def _add_row(
    mapping: SealedMapping,
    row: Any,
    context: Context,
    cells: Mapping[str, bytes],
    items: list[StoredItem],
    errors: dict[str, TwinlockError],
) -> None:
    head = loaded(row, mapping.dek)
    if head is UNLOADED:
        errors.update({key: _not_there(mapping, mapping.dek, head) for key in cells})
        return
    columns = {key: mapping.attributes[key].column for key in cells}
    # Cells without a head are refused by the vault, as a damaged row.
    stored = SealedRow(bytes(head or b""), {columns[key]: cell for key, cell in cells.items()})
    items.insert(0, StoredItem(context, stored, columns))


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
