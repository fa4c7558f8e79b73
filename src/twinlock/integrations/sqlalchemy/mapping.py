"""What is sealed of a mapped class, worked out once when its mapper is configured."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import event, inspect
from sqlalchemy.orm import Mapper, configure_mappers

from twinlock.adopt.layout import LegacyLayout
from twinlock.core.context import Context, RecordId
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.integrations.sqlalchemy.adopted import AdoptedTable, adopted_table
from twinlock.integrations.sqlalchemy.codecs import Codec, encode
from twinlock.integrations.sqlalchemy.groups import Targets, targets
from twinlock.integrations.sqlalchemy.handle import OldValue, Sealed, waiting, waiting_value, waits
from twinlock.integrations.sqlalchemy.loading import UNLOADED
from twinlock.integrations.sqlalchemy.spec import (
    SealedColumnSpec,
    SealedTable,
    To,
    spec_of,
)
from twinlock.server import records

ValueOf = Callable[[str], Any]
"""Gives an attribute's value by its key: of a row as it is, or as it was."""

_PLACE: Final = "__twinlock_mapping__"
_RECORD_TYPES: Final = (int, str, bytes, uuid.UUID)


@dataclass(frozen=True, slots=True)
class SealedAttribute:
    """One sealed attribute: its key in the class, its stable name in contexts, its codec."""

    key: str
    column: str
    codec: Codec
    to: To

    def targets(self, row: Any) -> Targets:
        """Return for whom the value is in this row. Raises CallerError ``sealed.groups``."""
        return targets(self.to(row) if callable(self.to) else self.to, self.key)


@dataclass(frozen=True, slots=True)
class SealedMapping:
    """What is sealed of a mapped class. The keys are those of its attributes.

    ``record`` maps the attributes that identify a row to the type that their values must have,
    None where their column does not tell. ``defaults`` are the columns' defaults that have to be
    known before a row is sealed.
    """

    table: str
    dek: str
    attributes: Mapping[str, SealedAttribute]
    record: Mapping[str, type | None]
    tenant: str | None
    version: str | None
    defaults: Mapping[str, Any]
    adopted: AdoptedTable | None

    def is_empty(self, now: Mapping[str, Any], key: str) -> bool:
        """Return whether a row that holds ``now`` is known to have no value for an attribute.

        In an adopted table that shows only once its old column is loaded.
        """
        content = None if self.adopted is None else self.adopted.contents.get(key)
        return now.get(key, UNLOADED) is None and (content is None or content in now)

    @property
    def identity(self) -> tuple[str, ...]:
        """The attributes that stand in the row's context."""
        named = (self.tenant, self.version)
        return (*self.record, *(key for key in named if key is not None))

    def context(self, value_of: ValueOf) -> Context:
        """Return the row's context. Raises CallerError ``sealed.record`` or ``context.*``."""
        parts = tuple(self._part(key, value_of(key)) for key in self.record)
        tenant = "" if self.tenant is None else value_of(self.tenant)
        if tenant is None:
            raise CallerError(
                "sealed.record",
                f"{self.table} has a row without a tenant in {self.tenant}.",
                hint="Set it before the row is flushed.",
            )
        return Context(
            table=self.table,
            record=parts[0] if len(parts) == 1 else parts,
            tenant=str(tenant),
            version=None if self.version is None else value_of(self.version),
        )

    def column_context(self, row: Context, key: str) -> Context:
        """Return the context of one attribute that has a DEK of its own."""
        return replace(row, column=self.attributes[key].column)

    def _part(self, key: str, value: Any) -> RecordId:
        wanted = self.record[key]
        found = isinstance(value, wanted or _RECORD_TYPES) and not isinstance(value, bool)
        if value is None or not found:
            raise CallerError(
                "sealed.record",
                f"The {key} of a {self.table} row is a {type(value).__name__},"
                " so the row has no record id to seal for.",
                hint="Set it, in the type that it is loaded with, before the row is flushed. A key"
                " that the database makes is not known yet: use a UUID key, a sequence, or"
                " SealedTable(record=...) to name another unique attribute.",
            )
        return value  # type: ignore[no-any-return]  # one of the types of a RecordId


def mapping_of(kind: type) -> SealedMapping:
    """Return the sealed mapping of a class that has sealed attributes."""
    found = find_mapping(kind)
    if found is None:
        raise CallerError(
            "sealed.declaration",
            f"{kind.__name__} is not mapped, or has no sealed attributes.",
            hint="Declare sealed_column() in the body of a declarative class or mixin.",
        )
    return found


def find_mapping(kind: type) -> SealedMapping | None:
    """Return a mapped class's sealed mapping; None when it has no sealed attributes."""
    if _PLACE not in vars(kind):
        # Nothing was done with the class yet.
        configure_mappers()
    return vars(kind).get(_PLACE)


def configure(mapper: Mapper[Any], kind: type) -> None:
    """Work out a class's sealed mapping and watch its sealed attributes.

    Raises CallerError ``sealed.declaration`` or ``sealed.codec``.
    """
    table: SealedTable = getattr(kind, "__twinlock__", SealedTable())
    attributes = {
        prop.key: _attribute(kind, prop.key, spec, table)
        for prop in mapper.column_attrs
        if (spec := spec_of(prop.columns[0])) is not None
    }
    for key in attributes:
        watched = getattr(kind, key)
        if not event.contains(watched, "set", _on_set):
            event.listen(watched, "set", _on_set, retval=True)
    for named in (table.tenant, table.version):
        _require_attribute(mapper, named)
    if table.version is not None and mapper.version_id_col is not None:
        _refuse_counted(mapper, table.version)
    name = table.table or _table_name(mapper, table.dek)
    record = _record(mapper, table)
    early = {*record, table.tenant, table.version}
    found = SealedMapping(
        table=name,
        dek=table.dek,
        attributes=attributes,
        record=record,
        tenant=table.tenant,
        version=table.version,
        defaults=dict(_defaults(mapper, early)),
        adopted=_adopted(mapper, table, name, attributes),
    )
    setattr(kind, _PLACE, found)


def mark_old_values(row: Any, *_: object) -> None:
    """Mark what the old application wrote in a row that was loaded or refreshed; an event."""
    mapping = mapping_of(type(row))
    if mapping.adopted is not None:
        mapping.adopted.mark(row)


def _adopted(
    mapper: Mapper[Any], table: SealedTable, name: str, attributes: Mapping[str, SealedAttribute]
) -> AdoptedTable | None:
    if table.adopted is None:
        return None
    layout = table.adopted if isinstance(table.adopted, LegacyLayout) else table.adopted()
    columns = {key: attribute.column for key, attribute in attributes.items()}
    return adopted_table(mapper, layout, name, table.dek, columns)


def _attribute(kind: type, key: str, spec: SealedColumnSpec, table: SealedTable) -> SealedAttribute:
    to = table.to if spec.to is None else spec.to
    if to is None:
        raise CallerError(
            "sealed.declaration",
            f"{kind.__name__}.{key} does not say for whom it is sealed.",
            hint="Pass sealed_column(to=...), or SealedTable(to=...) as __twinlock__.",
        )
    return SealedAttribute(key, spec.column or spec.key, spec.resolved_codec(), to)


def _defaults(mapper: Mapper[Any], early: set[str | None]) -> Iterator[tuple[str, Any]]:
    """Fixed values, which ``to`` may read, and what else makes up the row's context."""
    for prop in mapper.column_attrs:
        for column in prop.columns:
            default: Any = getattr(column, "default", None)
            if default is None:
                continue
            if default.is_scalar or (
                prop.key in early and (default.is_callable or default.is_sequence)
            ):
                yield prop.key, default


def _table_name(mapper: Mapper[Any], dek: str) -> str:
    """Return the name of the table that a hierarchy's wrapped DEKs lie in."""
    found: Any = mapper.column_attrs[dek].columns[0].table
    return str(found.name)


def _record(mapper: Mapper[Any], table: SealedTable) -> Mapping[str, type | None]:
    if table.record is None:
        keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    else:
        keys = [table.record] if isinstance(table.record, str) else list(table.record)
    types: dict[str, type | None] = {}
    for key in keys:
        _require_attribute(mapper, key)
        types[key] = _python_type(mapper.column_attrs[key].columns[0].type)
    return types


def _python_type(sql_type: Any) -> type | None:
    try:
        found = sql_type.python_type
    except NotImplementedError:
        return None
    return found if found in _RECORD_TYPES else None


def _require_attribute(mapper: Mapper[Any], key: str | None) -> None:
    if key is not None and key not in mapper.column_attrs:
        raise CallerError(
            "sealed.declaration",
            f"{mapper.class_.__name__} has no mapped column {key}, which its SealedTable names.",
            hint="Name attributes of the class as they are mapped.",
        )


def _refuse_counted(mapper: Mapper[Any], version: str) -> None:
    if mapper.column_attrs[version].columns[0] is mapper.version_id_col:
        raise CallerError(
            "sealed.declaration",
            f"{mapper.class_.__name__}.{version} is SQLAlchemy's version_id_col, which changes"
            " whenever anything in the row does.",
            hint="Use a column of its own: it changes only when the sealed values are sealed anew.",
        )


def _on_set(target: Any, value: Any, _old: Any, initiator: Any) -> Any:
    """Turn what is assigned into a handle: plain values are encoded and wait for the flush."""
    if isinstance(value, OldValue) and value.row != inspect(target).key:
        raise CallerError(
            "sealed.foreign",
            "A value that the old application wrote for another row cannot be assigned.",
            hint="Open it, and assign what was opened.",
        )
    if value is None or (isinstance(value, Sealed) and not waits(value)):
        return value
    if isinstance(value, records.Sealed):
        return Sealed.from_bytes(value.to_bytes())
    plain = waiting_value(value) if isinstance(value, Sealed) else value
    if isinstance(plain, Secret):
        # From another object by session.merge(), and encoded there.
        return value
    kind = type(target)
    attribute = mapping_of(kind).attributes[initiator.key]
    name = f"{kind.__name__}.{attribute.key}"
    return waiting(Secret(encode(attribute.codec, name, plain)))
