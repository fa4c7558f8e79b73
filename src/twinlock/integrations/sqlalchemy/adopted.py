"""Adopted tables: a mapped class whose rows may still hold what the old application wrote.

What ``adopt.toml`` says of the table is what counts here too: a ``LegacyLayout`` reads the old
columns, which the class maps as plain attributes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import set_committed_value

from twinlock.adopt.layout import LegacyLayout, layout_errors
from twinlock.adopt.settings import Source
from twinlock.core.adopted import LegacyCell
from twinlock.core.context import Context
from twinlock.errors import CallerError
from twinlock.integrations.sqlalchemy.handle import OldValue
from twinlock.integrations.sqlalchemy.loading import UNLOADED, loaded
from twinlock.server.legacy import LegacyRow


@dataclass(frozen=True, slots=True)
class AdoptedTable:
    """How a mapped class's rows are read as the old application left them.

    ``keys`` maps SQL columns to the class's attributes, ``contents`` sealed attributes to the
    attributes of their old content, ``bound`` are the attributes that old content depends on.
    """

    layout: LegacyLayout
    keys: Mapping[str, str]
    contents: Mapping[str, str]
    bound: tuple[str, ...]

    def cells(self, row: Any, context: Context, columns: Collection[str]) -> dict[str, LegacyCell]:
        """Return the old ciphertexts of these columns, by declared name.

        Raises DataError ``adopt.*``, CallerError ``sealed.not-loaded`` or ``sealed.declaration``.
        """
        if self.layout.table.source is not Source.HSM:
            raise not_adopted(self.layout.table.name)
        old = OldColumns(row, self.keys)
        with layout_errors():
            if self.layout.context(old) != context:
                raise _other_context(self.layout.table.name)
            cells = self.layout.cells(old)
        return {name: cell for name, cell in cells.items() if name in columns}

    def legacy_row(self, row: Any, cells: Mapping[str, LegacyCell]) -> LegacyRow:
        """Return a row that the old key alone opens. Raises DataError ``adopt.*``."""
        old = OldColumns(row, self.keys)
        with layout_errors():
            return LegacyRow(self.layout.wrapped_dek(old), self.layout.key(old), cells)

    def mark(self, row: Any) -> None:
        """Give attributes that have no sealed value, but an old one, a handle that says so."""
        state = inspect(row)
        for key, content in self.contents.items():
            now = state.dict.get(key, UNLOADED)
            if key in state.committed_state or not (now is None or isinstance(now, OldValue)):
                continue
            old = None if state.dict.get(content) is None else OldValue(state.key)
            if (old is None) != (now is None):
                set_committed_value(row, key, old)


class OldColumns(Mapping[str, Any]):
    """A row's SQL columns as a ``LegacyLayout`` takes them."""

    def __init__(self, row: Any, keys: Mapping[str, str]) -> None:
        self._row = row
        self._keys = keys

    def __getitem__(self, name: str) -> Any:
        value = loaded(self._row, self._keys[name])
        if value is UNLOADED:
            raise CallerError(
                "sealed.not-loaded",
                f"The old column {name} is deferred and was not loaded.",
                hint="Load the row with undefer(), or do not defer what the layout reads.",
            )
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def adopted_table(
    mapper: Mapper[Any], layout: LegacyLayout, table: str, dek: str, columns: Mapping[str, str]
) -> AdoptedTable:
    """Return how a class's old rows are read; ``columns``: declared names by sealed attribute.

    Raises CallerError ``sealed.declaration`` where class and ``adopt.toml`` do not fit.
    """
    settings = layout.table
    keys = {
        column.name: prop.key
        for prop in mapper.column_attrs
        for column in prop.columns
        if column.table is mapper.local_table
    }
    by_name = {column.name: column for column in settings.columns}
    adopted = {key: by_name[name] for key, name in columns.items() if name in by_name}
    wanted = {settings.target: dek} | {column.target: key for key, column in adopted.items()}
    unmapped = [name for name in (*settings.old, *settings.bound) if name not in keys]
    misplaced = [name for name, key in wanted.items() if keys.get(name) != key]
    if table != settings.name or unmapped or misplaced:
        raise CallerError(
            "sealed.declaration",
            f"{mapper.class_.__name__} does not fit what adopt.toml says of {settings.name}:"
            f" look at {', '.join([*unmapped, *misplaced]) or 'its name in contexts'}.",
            hint="Map the old columns as plain attributes, put sealed attributes and the DEK into"
            " the target columns, and give SealedTable(table=...) the declared name.",
        )
    return AdoptedTable(
        layout,
        keys,
        {key: keys[column.content] for key, column in adopted.items()},
        tuple(keys[name] for name in settings.bound),
    )


def not_adopted(table: str) -> CallerError:
    """Return the error of a value that is still the old application's."""
    return CallerError(
        "sealed.not-adopted",
        f"This {table} row is not adopted yet, so a release does not open it.",
        hint="Read it as the old application did, or adopt it: see `twinlock adopt run`.",
    )


def _other_context(table: str) -> CallerError:
    return CallerError(
        "sealed.declaration",
        f"adopt.toml gives this {table} row another context than its mapped class does.",
        hint="Compare key, tenant and version in adopt.toml with the class's SealedTable.",
    )
