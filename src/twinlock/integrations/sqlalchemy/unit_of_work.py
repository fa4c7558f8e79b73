"""Sealing while the session flushes: what SQLAlchemy writes next are sealed values.

Both functions are mapper events. They run before SQLAlchemy collects what to write, when foreign
keys are known, and set attributes of the row at hand only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.orm import Mapper

from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.integrations.sqlalchemy.adopted import AdoptedTable
from twinlock.integrations.sqlalchemy.binding import binding_of
from twinlock.integrations.sqlalchemy.former import Changes, FormerRow
from twinlock.integrations.sqlalchemy.handle import OldValue, Sealed, waiting_value, waits
from twinlock.integrations.sqlalchemy.mapping import SealedMapping, mapping_of
from twinlock.integrations.sqlalchemy.sealing import (
    SealedValues,
    require_own,
    seal_apart,
    seal_together,
)


def seal_new_row(_mapper: Mapper[Any], connection: Connection, row: Any) -> None:
    """Seal a new row's values under one DEK. Raises ``sealed.*`` and what sealing raises."""
    mapping = mapping_of(type(row))
    now = inspect(row).dict
    held = {key for key in mapping.attributes if now.get(key) is not None}
    if not held:
        return
    _set_defaults(mapping, connection, row)
    if mapping.version is not None and now.get(mapping.version) is None:
        setattr(row, mapping.version, 1)
    context = mapping.context(lambda key: getattr(row, key))
    values = _waiting(row, held)
    stored = held - values.keys()
    binding = binding_of(row)
    if stored:
        # A row that was rolled back and is added again, or values that were sealed by hand.
        require_own(binding, mapping, row, stored, new=True)
        _apply(row, seal_apart(binding, mapping, row, context, values))
        return
    sealed = seal_together(binding, mapping, row, context, values)
    setattr(row, mapping.dek, sealed.head)
    _apply(row, sealed)
    for key in mapping.attributes.keys() - held:
        # Said aloud, because the row may take the place of one that is deleted in this flush.
        setattr(row, key, None)


def seal_changes(mapper: Mapper[Any], connection: Connection, row: Any) -> None:
    """Seal what changed of a row, and refuse changes that would make the rest unreadable.

    All values get a new row DEK together when this UPDATE writes every sealed attribute; else each
    gets one of its own, and what was not assigned is not written. An attribute that is NULL and
    stays so is not written either: another transaction may have filled it since, and its value
    would not open under a new row DEK. Raises ``sealed.*`` and what sealing raises.
    """
    mapping = mapping_of(type(row))
    if not inspect(row).committed_state:
        return
    changes = Changes(mapper, connection, mapping, row)
    changed = {key for key in mapping.attributes if changes.assigned(key)}
    values = _waiting(row, changed)
    if mapping.adopted is not None:
        _clear_old(mapping.adopted, row, changed)
    kept = _kept(mapping, row, values)
    if kept:
        _refuse_loss(mapping, changes, kept)
    if mapping.version is not None and values:
        _count_version(mapping, mapping.version, changes, kept)
    stored = {key for key in changed - values.keys() if getattr(row, key) is not None}
    all_written = not kept and changed == mapping.attributes.keys()
    if not values and not stored:
        if all_written:
            setattr(row, mapping.dek, None)
        return
    context = mapping.context(lambda key: getattr(row, key))
    binding = binding_of(row)
    if stored:
        require_own(binding, mapping, row, stored)
    if not all_written or mapping.adopted is not None:
        # In an adopted table a DEK of its own shows that a value is not what adoption made of the
        # old one, so that `adopt rollback` keeps it.
        _apply(row, seal_apart(binding, mapping, row, context, values))
        return
    sealed = seal_together(binding, mapping, row, context, values)
    setattr(row, mapping.dek, sealed.head)
    _apply(row, sealed)


def _waiting(row: Any, keys: Iterable[str]) -> Mapping[str, Secret]:
    """Return what waits to be sealed, in the order of the keys' names."""
    now = inspect(row).dict
    return {key: waiting_value(now[key]) for key in sorted(keys) if waits(now.get(key))}


def _kept(mapping: SealedMapping, row: Any, values: Mapping[str, Secret]) -> set[str]:
    """Return the attributes that keep, or may keep, a stored value."""
    now = inspect(row).dict
    rest = mapping.attributes.keys() - values.keys()
    return {key for key in rest if not mapping.is_empty(now, key)}


def _clear_old(adopted: AdoptedTable, row: Any, changed: Iterable[str]) -> None:
    """Empty the old column of an attribute that was set to None, or its old value would show."""
    for key in changed:
        if key in adopted.contents and getattr(row, key) is None:
            setattr(row, adopted.contents[key], None)


def _apply(row: Any, sealed: SealedValues) -> None:
    for key, raw in sealed.values.items():
        setattr(row, key, Sealed.from_bytes(raw))


def _set_defaults(mapping: SealedMapping, connection: Connection, row: Any) -> None:
    """Give the row now what SQLAlchemy would give it while it writes."""
    now = inspect(row).dict
    for key, default in mapping.defaults.items():
        if now.get(key) is not None:
            continue
        if default.is_scalar:
            setattr(row, key, default.arg)
        elif default.is_callable:
            setattr(row, key, default.arg(_NoContext(mapping.table, key)))
        elif connection.dialect.supports_sequences:
            setattr(row, key, connection.scalar(default.next_value()))


class _NoContext:
    """Stands for the context of a statement, which does not exist before the row is sealed."""

    def __init__(self, table: str, key: str) -> None:
        self._twinlock_place = f"{table}.{key}"

    def __getattr__(self, name: str) -> Any:
        raise CallerError(
            "sealed.default",
            f"The default of {self._twinlock_place} asks SQLAlchemy's context for {name}; the"
            " column is needed for sealing, before there is a statement with a context.",
            hint="Assign the column before the flush, or use a default that needs no context.",
        )


def _refuse_loss(mapping: SealedMapping, changes: Changes, kept: set[str]) -> None:
    """Raise ``sealed.moved`` or ``sealed.regrouped`` when values that stay would not fit."""
    moved = [key for key in _bound(mapping, changes.row, kept) if changes.changed(key)]
    if moved:
        raise CallerError(
            "sealed.moved",
            f"{', '.join(moved)} of a {mapping.table} row changed, and"
            f" {', '.join(sorted(kept))} are sealed for what it was: they would never open again.",
            hint="Open the row, change it, and call seal_again(view) before you flush.",
        )
    attributes = [mapping.attributes[key] for key in sorted(kept)]
    if not any(callable(a.to) for a in attributes) or not changes.beside_sealed():
        return
    former = FormerRow(changes)
    for attribute in attributes:
        if callable(attribute.to) and attribute.targets(former) != attribute.targets(changes.row):
            raise CallerError(
                "sealed.regrouped",
                f"This change of a {mapping.table} row gives {attribute.key} to other groups, but"
                " its sealed value stays with those that it has.",
                hint="Open the row, change it, and call seal_again(view) before you flush.",
            )


def _bound(mapping: SealedMapping, row: Any, kept: set[str]) -> list[str]:
    """Return the attributes that must stay: the row's context, and what old values depend on."""
    now = inspect(row).dict
    old = mapping.adopted is not None and any(
        now.get(key) is None or isinstance(now[key], OldValue) for key in kept
    )
    more = mapping.adopted.bound if mapping.adopted is not None and old else ()
    return list(dict.fromkeys([*mapping.identity, *more]))


def _count_version(mapping: SealedMapping, version: str, changes: Changes, kept: set[str]) -> None:
    """The version stands in every value's context: all of them change it together."""
    if kept:
        raise CallerError(
            "sealed.version",
            f"A {mapping.table} row has a version, so its sealed values are sealed anew together;"
            f" {', '.join(sorted(kept))} were not assigned.",
            hint="Open the row, change it, and call seal_again(view) before you flush.",
        )
    if not changes.changed(version):
        setattr(changes.row, version, (getattr(changes.row, version) or 0) + 1)
