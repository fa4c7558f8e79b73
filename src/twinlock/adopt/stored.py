"""What a member's release opens of a row: adopted, native, or columns with a DEK of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from twinlock.adopt.tables import AppTable
from twinlock.adopt.templates import Row
from twinlock.core.context import Context
from twinlock.server.records import AdoptedRow, SealedRow, Stored

ADOPTED: Final = b"TWA"
NATIVE: Final = b"TWH"
OWN_DEK: Final = b"TWL"
"""The first bytes of an adopted head, of a native row's head, and of a value by itself."""


def has_native_head(table: AppTable, row: Row) -> bool:
    """Tell whether a row has a native head: its cells share a DEK."""
    head = row[table.settings.target]
    return head is not None and bytes(head).startswith(NATIVE)


def stored_items(
    table: AppTable, row: Row, columns: Sequence[str] = ()
) -> list[tuple[Context, Stored]]:
    """Return what to ask a member for, by the row's columns (declared names; default: all).

    Columns that are legacy or empty are not in it. Raises DataError ``adopt.*``, CallerError
    ``context.*``.
    """
    wanted = [c for c in table.settings.columns if not columns or c.name in columns]
    context = table.layout.context(row)
    head = row[table.settings.target]
    native = {c.name: row[c.target] for c in wanted if row[c.target] is not None}
    own = {name: cell for name, cell in native.items() if cell.startswith(OWN_DEK)}
    shared = {name: cell for name, cell in native.items() if name not in own}
    items: list[tuple[Context, Stored]] = []
    if shared:
        items.append((context, SealedRow(head or b"", shared)))
    elif head is not None and head.startswith(ADOPTED):
        names = {c.name for c in wanted} - set(native)
        cells = {n: cell for n, cell in table.layout.cells(row).items() if n in names}
        if cells:
            items.append((context, AdoptedRow(head, cells)))
    items += [(replace(context, column=name), cell) for name, cell in own.items()]
    return items
