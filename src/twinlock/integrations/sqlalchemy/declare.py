"""``sealed_column``: declares a sealed attribute of a mapped class."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import LargeBinary, event
from sqlalchemy.orm import MappedColumn, Session, mapped_column

from twinlock.errors import CallerError
from twinlock.integrations.sqlalchemy.codecs import Codec
from twinlock.integrations.sqlalchemy.guard import refuse_misuse
from twinlock.integrations.sqlalchemy.mapping import configure, mark_old_values
from twinlock.integrations.sqlalchemy.source import row_source_of
from twinlock.integrations.sqlalchemy.spec import INFO, SealedColumnSpec, SealedTable, To
from twinlock.integrations.sqlalchemy.types import SealedColumn, SealedType
from twinlock.integrations.sqlalchemy.unit_of_work import seal_changes, seal_new_row

_COLUMN_OPTIONS: Final = {"nullable", "comment", "doc", "info", "key", "quote", "system"}
_REFUSED_OPTIONS: Final = {
    *("default", "insert_default", "server_default", "server_onupdate", "onupdate"),
    *("index", "unique", "primary_key", "autoincrement", "type_", "active_history"),
}

_LISTENING: Final = "__twinlock_listening__"
"""Marks a class whose flushes seal. Its subclasses inherit that: the listeners propagate."""

# For every session, also those that seal nothing: they can read.
event.listen(Session, "do_orm_execute", refuse_misuse)


class _Declaration:
    """Becomes an ordinary mapped column, and brings the row's DEK, when its class is made.

    Python calls ``__set_name__`` before SQLAlchemy looks at the class, so Declarative sees mapped
    columns only, in mixins and dataclasses as well.
    """

    def __init__(self, mapped: MappedColumn[Any], spec: SealedColumnSpec) -> None:
        self._mapped = mapped
        self._spec = spec

    def __set_name__(self, owner: type, name: str) -> None:
        self._spec.owner, self._spec.key = owner, name
        setattr(owner, name, self._mapped)
        table: SealedTable = getattr(owner, "__twinlock__", SealedTable())
        if not hasattr(owner, table.dek):
            # Siblings under single-table inheritance share the column.
            dek = mapped_column(LargeBinary, nullable=True, use_existing_column=True)
            setattr(owner, table.dek, dek)
        if not hasattr(owner, _LISTENING):
            _listen(owner)


def sealed_column(
    name: str | None = None,
    *,
    to: To | None = None,
    codec: Codec | None = None,
    column: str | None = None,
    **options: Any,
) -> Any:
    """Declare a sealed attribute, annotated ``Mapped[Sealed[T]]`` or ``Mapped[Sealed[T] | None]``.

    ``name``: the SQL column (default: the attribute's name). ``to``: group names, groups or
    ``all_of(...)``, each one way in, or a function of the row that returns them; default: the
    class's ``SealedTable(to=...)``. ``codec``: how a value becomes bytes, by default according to
    T. ``column``: the stable name in contexts (default: the attribute's name). ``options``: those
    of ``mapped_column`` such as ``nullable``, ``deferred``, ``comment``, ``init``.

    Raises CallerError ``sealed.declaration`` for options that a sealed column cannot have.
    """
    refused = _REFUSED_OPTIONS.intersection(options)
    if options.get("default", ...) is None:
        # A field of a dataclass may be left out.
        refused -= {"default"}
    if refused:
        raise CallerError(
            "sealed.declaration",
            f"A sealed column cannot have {', '.join(sorted(refused))}.",
            hint="The database knows ciphertext only, and values are set on mapped objects.",
        )
    spec = SealedColumnSpec(to, codec, column)
    arguments: list[Any] = [SealedType()] if name is None else [name, SealedType()]
    mapped: MappedColumn[Any] = mapped_column(*arguments, **options)
    of_column = {key: options[key] for key in _COLUMN_OPTIONS & options.keys()}
    mapped.column = SealedColumn(*arguments, **of_column)
    mapped.column.info[INFO] = spec
    return _Declaration(mapped, spec)


def _listen(owner: type) -> None:
    setattr(owner, _LISTENING, True)
    owner.__twinlock_row__ = row_source_of  # type: ignore[attr-defined]
    event.listen(owner, "mapper_configured", configure, propagate=True)
    event.listen(owner, "load", mark_old_values, propagate=True)
    event.listen(owner, "refresh", mark_old_values, propagate=True)
    event.listen(owner, "before_insert", seal_new_row, propagate=True)
    event.listen(owner, "before_update", seal_changes, propagate=True)
