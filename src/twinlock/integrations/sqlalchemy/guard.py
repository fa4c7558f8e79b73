"""What an ORM statement may not do with sealed columns and could not be refused while it was built.

SQLAlchemy asks a column before it goes into an operator or a function (``types``), but not before a
CAST or CASE; such statements are refused when a session executes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import (
    BinaryExpression,
    Case,
    Cast,
    ColumnElement,
    Select,
    TypeCoerce,
    UnaryExpression,
)
from sqlalchemy.orm import Mapper, ORMExecuteState
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement

from twinlock.errors import CallerError
from twinlock.integrations.sqlalchemy.mapping import find_mapping
from twinlock.integrations.sqlalchemy.types import NULL_OPERATORS, SealedType, refuse_in_sql

_COMBINING: Final = (Case, Cast, TypeCoerce, UnaryExpression, FunctionElement)


def refuse_misuse(state: ORMExecuteState) -> None:
    """Raise ``sealed.query``, ``sealed.moved`` or ``sealed.old-value`` for a statement that would
    yield nonsense.
    """
    statement: Any = state.statement
    if state.is_update:
        _refuse_update(state, statement)
    for node in visitors.iterate(statement):
        if isinstance(node, Select):
            _refuse(node, [node.whereclause])
        elif isinstance(node, BinaryExpression):
            if node.operator not in NULL_OPERATORS:
                _refuse(node, [node.left, node.right])
        elif isinstance(node, _COMBINING) or node.__visit_name__ == "label_reference":
            _refuse(node, node.get_children())


def _refuse(node: Any, parts: Iterable[Any]) -> None:
    for part in parts:
        if isinstance(getattr(part, "type", None), SealedType):
            refuse_in_sql(part, f"a {type(node).__name__} expression")


def _refuse_update(state: ORMExecuteState, statement: Any) -> None:
    """Refuse a bulk UPDATE that would make values unreadable, or bring old ones back."""
    mapper: Mapper[Any] | None = state.bind_mapper
    mapping = None if mapper is None else find_mapping(mapper.class_)
    if mapper is None or mapping is None:
        return
    assigned = _assigned(state, statement, mapper)
    moved = sorted(assigned.intersection(mapping.identity))
    if moved:
        raise CallerError(
            "sealed.moved",
            f"This UPDATE changes {', '.join(moved)} of {mapping.table} rows, and their sealed"
            " values would never open again.",
            hint="Change the rows one by one, as mapped objects, with seal_again(view) for each.",
        )
    contents = {} if mapping.adopted is None else mapping.adopted.contents
    old = sorted(key for key in assigned & contents.keys() if contents[key] not in assigned)
    if old:
        raise CallerError(
            "sealed.old-value",
            f"This UPDATE changes {', '.join(old)} of {mapping.table} rows and leaves what the old"
            " application wrote, which counts again where there is no sealed value.",
            hint="Set the old columns in the same UPDATE, or change the rows as mapped objects.",
        )


def _assigned(state: ORMExecuteState, statement: Any, mapper: Mapper[Any]) -> set[str]:
    """Return the keys of the attributes that an UPDATE assigns."""
    assigned: set[str] = set()
    for name in ("_values", "_ordered_values"):
        values = getattr(statement, name, None) or ()
        pairs = values.items() if isinstance(values, dict) else values
        assigned |= {_attribute(mapper, key) for key, _ in pairs}
    if isinstance(state.parameters, list):
        # An UPDATE by primary key: the key says which row, and is not assigned.
        keys = {mapper.get_property_by_column(column).key for column in mapper.primary_key}
        assigned |= {key for row in state.parameters for key in row} - keys
    return assigned


def _attribute(mapper: Mapper[Any], named: Any) -> str:
    """Return the key of the attribute that a column is mapped to, which may have another name."""
    if isinstance(named, ColumnElement):
        with suppress(UnmappedColumnError):
            return mapper.get_property_by_column(named).key
    return str(getattr(named, "key", named))
