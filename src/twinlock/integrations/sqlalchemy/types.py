"""The column type of sealed values, and what keeps a sealed column out of SQL expressions."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from sqlalchemy import Column, Dialect, LargeBinary, Null
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator

from twinlock.integrations.sqlalchemy.handle import OldValue, Sealed, SealedUseError, waits
from twinlock.server import records

NULL_OPERATORS: Final = (operators.is_, operators.is_not)
"""What a test for NULL is built with, whether it was written as ``is_(None)`` or ``== None``."""

_EQUALITY: Final = (operators.eq, operators.ne)
_UNGROUPED: Final = (None, operators.as_, *NULL_OPERATORS)
"""Where a column may stand: alone, under a label, in a test for NULL."""


class SealedType(TypeDecorator[Sealed[Any]]):
    """A sealed value in a binary column: bytes in the database, a ``Sealed`` in Python.

    It never stores anything but sealed values: plaintext that gets past the ORM, in a bulk or
    Core statement, is refused when the statement runs.
    """

    impl = LargeBinary
    cache_ok = True

    # Alembic names a type by its module. In a migration this is an ordinary binary column, and
    # should not need Twinlock to be imported.
    __module__ = "sqlalchemy.types"

    def __repr__(self) -> str:
        return "LargeBinary()"

    class Comparator(TypeDecorator.Comparator[Any]):
        """Refuses every operator but tests for NULL, when the expression is built."""

        __slots__ = ()

        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            """Build a test for NULL. Raises ``sealed.query`` for everything else."""
            if op in _EQUALITY and _is_same_column(self.expr, other[0]):
                return op is operators.eq
            null_test = op in (*_EQUALITY, *NULL_OPERATORS) and isinstance(other[0], Null | None)
            if not null_test:
                refuse_in_sql(self.expr, f"the operator {op.__name__}")
            return super().operate(op, *other, **kwargs)

        def reverse_operate(self, op: Any, *_: Any, **__: Any) -> NoReturn:
            """Raise ``sealed.query``."""
            refuse_in_sql(self.expr, f"the operator {op.__name__}")

    comparator_factory = Comparator

    @property
    def python_type(self) -> type[Any]:
        """The type of the values in Python."""
        return Sealed

    def process_bind_param(self, value: Any, _dialect: Dialect) -> bytes | None:
        """Return the bytes to store. Raises ``sealed.plaintext``."""
        if value is None:
            return None
        if isinstance(value, Sealed | records.Sealed) and not waits(value):
            return value.to_bytes()
        raise SealedUseError(
            "sealed.plaintext",
            "This statement would store plaintext in a sealed column.",
            hint="Add or change mapped objects and flush: bulk and Core statements do not seal.",
        )

    def process_literal_param(self, _value: Any, _dialect: Dialect) -> str:
        """Raise ``sealed.plaintext``: literals stand in statements, which are logged."""
        raise SealedUseError(
            "sealed.plaintext",
            "A sealed column's value cannot be written into a statement as a literal.",
            hint="Add or change mapped objects and flush the session.",
        )

    def process_result_value(self, value: Any, _dialect: Dialect) -> Sealed[Any] | None:
        """Return the handle of stored bytes."""
        return None if value is None else Sealed.from_bytes(value)

    def compare_values(self, x: Any, y: Any) -> bool:
        """Return whether an attribute is unchanged, for the unit of work."""
        if isinstance(x, OldValue) or isinstance(y, OldValue):
            return isinstance(x, OldValue) and isinstance(y, OldValue)
        if isinstance(x, Sealed) and isinstance(y, Sealed):
            return x is y or (x._raw is not None and x._raw == y._raw)
        return x is y


class SealedColumn(Column[Any]):
    """A column of sealed values; it refuses to become part of a larger expression."""

    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """Return the column for a place where it may stand. Raises ``sealed.query``."""
        if against not in _UNGROUPED:
            refuse_in_sql(self, "a function or expression")
        return super().self_group(against)

    @property
    def _order_by_label_element(self) -> Any:
        # Asked for where an element becomes part of ORDER BY, and nowhere else for a column.
        refuse_in_sql(self, "ORDER BY")

    @property
    def _is_from_clause(self) -> bool:  # type: ignore[override]  # a constant in SQLAlchemy
        # Asked for where an element becomes part of GROUP BY.
        refuse_in_sql(self, "GROUP BY")


def _is_same_column(column: Any, other: Any) -> bool:
    """Return whether SQLAlchemy only looks a column up: it uses columns as keys of dictionaries.

    An annotated column is another object with the same hash.
    """
    return isinstance(other, Column) and hash(column) == hash(other)


def refuse_in_sql(element: Any, what: str) -> NoReturn:
    """Raise ``sealed.query``: the database knows a sealed column's ciphertext only."""
    name = getattr(element, "key", None) or getattr(element, "name", None) or "this column"
    raise SealedUseError(
        "sealed.query",
        f"{name} is sealed, so the database cannot use it in {what}.",
        hint="Select and sort by other columns, open the rows, and filter what was opened in"
        " Python. To search for exact values, keep a keyed hash in a column of its own."
        " is_(None) and is_not(None) work.",
    )
