"""The last step: what only the old application needed is dropped.

After a rewrap the ciphertext stays where it is, since it is the data; only the old locks of its
DEKs go. Columns that are native in every row have no use for their old content.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import Connection

from twinlock.adopt.levels import any_legacy, is_rewrapped
from twinlock.adopt.migration import drop_columns
from twinlock.adopt.tables import AppTable, shown_key
from twinlock.errors import CallerError

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Contraction:
    """What to drop of a table: SQL columns, by statements that also drop the trigger."""

    table: str
    columns: Sequence[str]
    statements: Sequence[str]


def contraction(connection: Connection, table: AppTable, *, postgresql: bool) -> Contraction:
    """Look at a table that is cut over, and say what it can do without.

    Raises CallerError ``adopt.legacy-left``: what those rows hold could never be read again.
    """
    require_no_legacy(connection, [table])
    settings = table.settings
    rewrapped = [
        column
        for column in settings.columns
        if table.count(connection, is_rewrapped(table, column))
    ]
    native = [column for column in settings.columns if column not in rewrapped]
    names = [] if settings.dek is None else [settings.dek]
    names += [name for column in native for name in column.legacy]
    # A column that something else still reads stays, whatever it is also used for.
    needed = {*settings.bound, *(name for column in rewrapped for name in column.legacy)}
    needed |= set(table.gone)
    gone = [name for name in dict.fromkeys(names) if name not in needed]
    return Contraction(settings.name, gone, drop_columns(settings, gone, postgresql=postgresql))


def require_no_legacy(
    connection: Connection,
    tables: Iterable[AppTable],
    accepted: frozenset[str] = frozenset(),
    names: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> int:
    """Refuse tables with legacy rows that nobody accepted by ``table/key``; returns how many were.

    ``names``: by table the columns that count, by default all. Raises CallerError
    ``adopt.legacy-left``, naming some.
    """
    count, left = 0, list[str]()
    for table in tables:
        legacy = any_legacy(table, names.get(table.name, ()))
        for row in table.rows(connection, legacy, columns=table.settings.key):
            name = f"{table.name}/{shown_key(table.key_of(row))}"
            if name in accepted:
                count += 1
            else:
                left.append(name)
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        raise CallerError(
            "adopt.legacy-left",
            f"{len(left)} row(s) are legacy still: {', '.join(left[:_NAMED])}{more}.",
            hint="Run `twinlock adopt run`; see `twinlock adopt status` for what stops a row.",
        )
    return count
