"""A row as it was when it was loaded, for comparing what a change means for its sealed values."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any

from sqlalchemy import Connection, inspect, select
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import get_history
from sqlalchemy.orm.base import PassiveFlag

from twinlock.integrations.sqlalchemy.mapping import SealedMapping


class Changes:
    """What of a row is to be written, and what it was.

    A value that was replaced without having been loaded is fetched when it is asked for, in one
    query for all such values of the row.
    """

    def __init__(
        self, mapper: Mapper[Any], connection: Connection, mapping: SealedMapping, row: Any
    ) -> None:
        self._mapper = mapper
        self._connection = connection
        self._sealed = {*mapping.attributes, mapping.dek}
        self._fetched: dict[str, Any] | None = None
        self.row = row
        self.touched = inspect(row).committed_state.keys()

    def assigned(self, key: str) -> bool:
        """Return whether an attribute was given a value that is not the loaded one."""
        return key in self.touched and self._history(key).has_changes()

    def changed(self, key: str) -> bool:
        """Return whether a column that is not sealed gets another value than it has."""
        return self.assigned(key) and self.before(key) != getattr(self.row, key)

    def beside_sealed(self) -> bool:
        """Return whether anything but sealed values was assigned."""
        return any(self.assigned(key) for key in self.touched - self._sealed)

    def before(self, key: str) -> Any:
        """Return what an attribute was that is not sealed; for a relationship, as far as known."""
        if key not in self.touched:
            return getattr(self.row, key)
        history = self._history(key)
        known = history.deleted or history.unchanged
        if known:
            return known[0]
        return self._fetch()[key] if key in self._mapper.column_attrs else None

    def _history(self, key: str) -> Any:
        return get_history(self.row, key, passive=PassiveFlag.PASSIVE_NO_INITIALIZE)

    def _fetch(self) -> dict[str, Any]:
        if self._fetched is None:
            kind, identity = self._mapper.class_, inspect(self.row).identity or ()
            columns = {prop.key for prop in self._mapper.column_attrs} - self._sealed
            keys = [key for key in self.touched & columns if not self._history(key).deleted]
            where = [
                getattr(kind, self._mapper.get_property_by_column(column).key) == value
                for column, value in zip(self._mapper.primary_key, identity, strict=True)
            ]
            query = select(*(getattr(kind, key) for key in keys)).where(*where)
            found = self._connection.execute(query).first() or [None] * len(keys)
            self._fetched = dict(zip(keys, found, strict=True))
        return self._fetched


class FormerRow:
    """Reads like the row did before its changes; its properties and methods see the old values."""

    __slots__ = ("__changes",)

    def __init__(self, changes: Changes) -> None:
        self.__changes = changes

    def __getattr__(self, name: str) -> Any:
        changes = self.__changes
        found = _static(type(changes.row), name)
        if isinstance(found, FunctionType):
            return MethodType(found, self)
        if isinstance(found, property | hybrid_property) and found.fget is not None:
            return found.fget(self)
        return changes.before(name)


def _static(kind: type, name: str) -> Any:
    """Return what a class has under a name, without calling descriptors."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
