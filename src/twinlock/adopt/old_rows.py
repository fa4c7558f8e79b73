"""Reading what the old application wrote, while that is signed as allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twinlock.adopt.layout import layout_errors
from twinlock.adopt.legacy_keys import unknown_key
from twinlock.adopt.settings import Source
from twinlock.adopt.tables import AppTable
from twinlock.adopt.templates import Row
from twinlock.core.adopting import LegacyKey
from twinlock.core.context import Context
from twinlock.errors import DataError, TwinlockError
from twinlock.server.legacy import LegacyRow
from twinlock.server.vault import Vault

OldRow = tuple[Context, Mapping[str, bytes]]
"""A row's context, and its plaintexts by declared column name."""


def legacy_row(
    table: AppTable, row: Row, keys: Mapping[str, LegacyKey], *, also_native: bool = False
) -> LegacyRow:
    """Return a row as its old key opens it: by default the columns that have no native cell.

    Raises DataError ``adopt.*``.
    """
    native = set() if also_native else _native(table, row)
    cells = {n: cell for n, cell in table.layout.cells(row).items() if n not in native}
    name = table.layout.key(row)
    if name not in keys:
        raise unknown_key(name)
    if not cells:
        raise DataError(
            "adopt.no-content",
            "This row has nothing that the old application wrote.",
            hint="Where a LegacyLayout reads the table, see that cells() finds the columns.",
        )
    return LegacyRow(table.layout.wrapped_dek(row), name, cells)


def read_old(
    vault: Vault,
    table: AppTable,
    keys: Mapping[str, LegacyKey],
    rows: Sequence[Row],
    *,
    also_native: bool = False,
) -> list[OldRow | TwinlockError]:
    """Read rows with the old key, or from what needs none; or say why a row cannot be read.

    ``also_native``: columns that have a native cell too, from what the old application left.
    Raises DataError ``legacy.cut-over`` or ``legacy.not-allowed``, CallerError ``legacy.*``,
    EnvError.
    """
    vault.require_legacy(table.name, [column.name for column in table.settings.columns])
    if table.settings.source is Source.HSM:
        return _in_token(vault, table, keys, rows, also_native)
    return [_without_token(table, row, also_native) for row in rows]


def _in_token(
    vault: Vault,
    table: AppTable,
    keys: Mapping[str, LegacyKey],
    rows: Sequence[Row],
    also_native: bool,
) -> list[OldRow | TwinlockError]:
    asked: list[tuple[Context, LegacyRow] | DataError] = []
    for row in rows:
        try:
            with layout_errors():
                found = legacy_row(table, row, keys, also_native=also_native)
                asked.append((table.layout.context(row), found))
        except DataError as error:
            asked.append(error)
    ready = [one for one in asked if isinstance(one, tuple)]
    opened = iter(vault.open_legacy(ready) if ready else ())
    results: list[OldRow | TwinlockError] = []
    for one in asked:
        if isinstance(one, DataError):
            results.append(one)
            continue
        record = next(opened)
        values = {name: record.data(name).reveal() for name in record.columns}
        results.append(record.error or (record.context, values))
    return results


def _without_token(table: AppTable, row: Row, also_native: bool) -> OldRow | TwinlockError:
    native = set() if also_native else _native(table, row)
    try:
        with layout_errors():
            said = table.layout.plaintexts(row)
            return table.layout.context(row), {n: v for n, v in said.items() if n not in native}
    except DataError as error:
        return error


def _native(table: AppTable, row: Row) -> set[str]:
    return {c.name for c in table.settings.columns if row[c.target] is not None}
