"""A mapped row as something to open, and what is shown of it while it is open."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

from twinlock.core.context import Context
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.integrations.rows import OpenedScope
from twinlock.integrations.sqlalchemy.adopted import not_adopted
from twinlock.integrations.sqlalchemy.handle import SealedUseError
from twinlock.integrations.sqlalchemy.mapping import SealedMapping, mapping_of
from twinlock.integrations.sqlalchemy.stored import StoredRow, stored_row
from twinlock.server.legacy import LegacyRow
from twinlock.server.opened import Opened
from twinlock.server.records import Stored


class MappedRow:
    """A mapped row's ``RowSource`` (see ``twinlock.integrations.rows``)."""

    def __init__(self, row: Any) -> None:
        self._row = row
        self._mapping = mapping_of(type(row))
        self._old: Opened | None = None

    @cached_property
    def _stored(self) -> StoredRow:
        return stored_row(self._mapping, self._row, self._mapping.attributes)

    def items(self) -> Sequence[tuple[Context, Stored]]:
        """Return what to ask for: one item per DEK of the row.

        Raises CallerError ``sealed.not-loaded`` for a row that was expired and is out of reach.
        """
        return [(item.context, item.stored) for item in self._stored.items]

    def legacy(self) -> tuple[Context, LegacyRow] | None:
        """Return what the old key alone opens, in a table that is being adopted."""
        legacy = self._stored.legacy
        return None if legacy is None else (legacy.context, legacy.row)

    def take_legacy(self, opened: Opened) -> None:
        """Take what ``Vault.open_legacy`` returned for ``legacy``, before ``view``."""
        self._old = opened

    def view(self, opened: Sequence[Opened], scope: OpenedScope) -> RowView:
        """Return the row as it is shown."""
        values: dict[str, Secret] = {}
        errors = dict(self._stored.errors)
        results = [
            (item.columns, result) for item, result in zip(self._stored.items, opened, strict=True)
        ]
        if self._stored.legacy is not None:
            error = not_adopted(self._mapping.table)
            old = self._old or Opened(self._stored.legacy.context, error)
            results.append((self._stored.legacy.columns, old))
        for columns, result in results:
            for key, column in columns.items():
                if result.error is None:
                    values[key] = result.data(column)
                else:
                    errors[key] = result.error
        scope.forget_at_end(values)
        return RowView(self._row, self._mapping, scope, values, errors)


def row_source_of(row: Any) -> MappedRow:
    """Return a mapped row's source; the method ``__twinlock_row__`` of its class."""
    return MappedRow(row)


class RowView:
    """A mapped row whose sealed attributes read as their values, until the scope ends.

    Other attributes are the row's. A sealed attribute that did not open raises its error, for
    example DataError ``data.not-authentic``; ``error_of`` tells without raising. Afterwards all
    sealed attributes raise ``opened.ended``. A view is read only: changes are made on the row.
    """

    __slots__ = ("__errors", "__mapping", "__row", "__scope", "__values", "__weakref__")

    def __init__(
        self,
        row: Any,
        mapping: SealedMapping,
        scope: OpenedScope,
        values: dict[str, Secret],
        errors: dict[str, TwinlockError],
    ) -> None:
        put = object.__setattr__
        put(self, "_RowView__row", row)
        put(self, "_RowView__mapping", mapping)
        put(self, "_RowView__scope", scope)
        put(self, "_RowView__values", values)
        put(self, "_RowView__errors", errors)

    def __getattr__(self, name: str) -> Any:
        attribute = self.__mapping.attributes.get(name)
        if attribute is None:
            return getattr(self.__row, name)
        self.__scope.require_live()
        if name in self.__errors:
            raise self.__errors[name]
        if name not in self.__values:
            return None
        try:
            return attribute.codec.decode(self.__values[name].reveal())
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            error = _not_decoded(self.__mapping.table, name)
        # Raised out here, because that error may hold the plaintext and must not be chained to it.
        raise error

    def __setattr__(self, name: str, *_: object) -> NoReturn:
        raise SealedUseError(
            "sealed.use",
            "A view shows a row and is not the row.",
            hint="Assign to the row itself: row_of(view).",
        )

    __delattr__ = __setattr__

    def __repr__(self) -> str:
        return f"<view of {self.__row!r}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SealedUseError(
            "sealed.use",
            "A view of an opened row is never pickled or copied.",
            hint="Take the values that you need while the request runs.",
        )


def row_of(view: RowView) -> Any:
    """Return the row that a view shows."""
    return view._RowView__row


def error_of(view: RowView, attribute: str) -> TwinlockError | None:
    """Return why a sealed attribute did not open; None if it did, or is NULL.

    Raises CallerError ``sealed.no-attribute`` for an attribute that is not sealed.
    """
    mapping: SealedMapping = view._RowView__mapping
    if attribute not in mapping.attributes:
        raise CallerError(
            "sealed.no-attribute",
            f"A {mapping.table} row has no sealed attribute {attribute}.",
            hint=f"There are {', '.join(mapping.attributes)}.",
        )
    errors: dict[str, TwinlockError] = view._RowView__errors
    return errors.get(attribute)


def seal_again(view: RowView) -> None:
    """Assign all opened values to the row again: the next flush seals them under new keys.

    For a change of the row's key, tenant, version or groups. Raises the error of an attribute that
    did not open, and assigns nothing then.
    """
    mapping: SealedMapping = view._RowView__mapping
    values = {key: getattr(view, key) for key in mapping.attributes}
    for key, value in values.items():
        setattr(row_of(view), key, value)


def _not_decoded(table: str, name: str) -> DataError:
    return DataError(
        "sealed.not-decoded",
        f"{name} of this {table} row is authentic, but not a value of the attribute's type.",
        hint="It was sealed as another type: compare the attribute's annotation or codec.",
    )
