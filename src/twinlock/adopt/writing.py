"""Writing what a batch made into its rows, and only into rows that are as they were when chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Update,
    bindparam,
    func,
    select,
    update,
)

from twinlock.adopt.tables import AppTable
from twinlock.adopt.templates import Row

_KEY: Final = "key_"
_WAS: Final = "was_"
_NEW: Final = "new_"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written into a row: SQL column to value."""

    values: Mapping[str, bytes]
    host_dek: bool = False


@dataclass(frozen=True, slots=True)
class RowWriter:
    """Writes changes into one table's rows."""

    table: AppTable
    is_postgresql: bool

    def write(self, connection: Connection, made: Sequence[tuple[Row, Change]]) -> int:
        """Write changes; returns how many rows were as they had been, and got theirs."""
        written = 0
        for columns in {tuple(change.values) for _, change in made}:
            same = [(row, change) for row, change in made if tuple(change.values) == columns]
            parameters = [self._parameters(row, change) for row, change in same]
            if self.is_postgresql:
                arrays = {name: [one[name] for one in parameters] for name in parameters[0]}
                written += connection.execute(self._of_arrays(columns), arrays).rowcount
            else:
                written += connection.execute(self._one_by_one(columns), parameters).rowcount
        return written

    def _one_by_one(self, columns: Sequence[str]) -> Update:
        def given(prefix: str, column: Column[Any]) -> ColumnElement[Any]:
            return bindparam(prefix + column.name, type_=column.type)

        values: dict[str, Any] = {n: given(_NEW, self.table.sql.c[n]) for n in columns}
        return update(self.table.sql).where(*self._unchanged(given)).values(values)

    def _of_arrays(self, columns: Sequence[str]) -> Update:
        """One statement for all rows, which takes PostgreSQL half the time of one for each."""
        names = [_KEY + name for name in self.table.settings.key]
        names += [*(_WAS + name for name in self._compared), *(_NEW + name for name in columns)]
        rows = select(*(self._unnested(name) for name in names)).subquery("given")

        def given(prefix: str, column: Column[Any]) -> ColumnElement[Any]:
            return rows.c[prefix + column.name]

        values: dict[str, Any] = {n: given(_NEW, self.table.sql.c[n]) for n in columns}
        return update(self.table.sql).where(*self._unchanged(given)).values(values)

    def _unnested(self, name: str) -> ColumnElement[Any]:
        kind = self.table.sql.c[name[len(_KEY) :]].type
        return func.unnest(bindparam(name, type_=ARRAY(kind)), type_=kind).label(name)

    def _unchanged(self, given: Any) -> list[ColumnElement[bool]]:
        """The row of that key, if it is as it was."""
        columns = [self.table.sql.c[name] for name in self._compared]
        return [
            *(column == given(_KEY, column) for column in self.table.key_columns),
            *(column.is_not_distinct_from(given(_WAS, column)) for column in columns),
        ]

    @property
    def _compared(self) -> Sequence[str]:
        """Under PostgreSQL's row lock nobody else wrote; what is compared there is our own."""
        settings = self.table.settings
        if self.is_postgresql:
            return settings.targets
        there = [name for name in settings.old if name not in self.table.gone]
        return list(dict.fromkeys([*settings.targets, *there, *settings.bound]))

    def _parameters(self, row: Row, change: Change) -> dict[str, Any]:
        keys = {_KEY + name: row[name] for name in self.table.settings.key}
        was = {_WAS + name: row[name] for name in self._compared}
        return {**keys, **was, **{_NEW + name: value for name, value in change.values.items()}}
