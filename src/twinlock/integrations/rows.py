"""Where rows and releases meet: what a mapped row tells, and what comes back while it is shown.

A web framework's release opens rows of any mapper through ``RowSource``; a mapper fills it in
without knowing of requests. Plaintext lives in an ``OpenedScope`` and goes when that ends.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeGuard, runtime_checkable

from twinlock.core.context import Context
from twinlock.errors import CallerError, TwinlockError
from twinlock.server.legacy import LegacyRow
from twinlock.server.opened import Opened
from twinlock.server.records import Stored


class OpenedScope:
    """How long opened values may be read: a web request, or a ``with`` block."""

    def __init__(self) -> None:
        self._ended = False
        self._held: list[MutableMapping[Any, Any]] = []

    def require_live(self) -> None:
        """Raise CallerError ``opened.ended`` when the scope has ended."""
        if self._ended:
            raise CallerError(
                "opened.ended",
                "These opened values are gone: the request that they were opened for has ended.",
                hint="Read what you need while the request runs, or open the record again.",
            )

    def forget_at_end(self, values: MutableMapping[Any, Any]) -> None:
        """Empty ``values`` when the scope ends; at once if it has ended."""
        if self._ended:
            values.clear()
        else:
            self._held.append(values)

    def end(self) -> None:
        """End it: views made for it read nothing any more, and hold no values either."""
        self._ended = True
        for values in self._held:
            values.clear()
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


class RowSource(Protocol):
    """One row of a mapper, as the vault sees it."""

    def items(self) -> Sequence[tuple[Context, Stored]]:
        """Return what to ask for, in a fixed order; none when nothing in the row is sealed."""
        ...

    def view(self, opened: Sequence[Opened], scope: OpenedScope) -> Any:
        """Return the row as it is shown: ``opened`` holds the result of each item, in order."""
        ...


@runtime_checkable
class HasLegacy(Protocol):
    """A ``RowSource`` whose row may hold what an old application wrote, in an adopted table."""

    def legacy(self) -> tuple[Context, LegacyRow] | None:
        """Return what the old key alone opens of the row, if anything."""
        ...

    def take_legacy(self, opened: Opened) -> None:
        """Take the result, before ``view``."""
        ...


@dataclass(frozen=True, slots=True)
class LegacyBatch:
    """What one old key opens of several rows; no member is asked for it.

    Give ``items`` to ``Vault.open_legacy``, and its results to ``take`` before the rows' views are
    made. One batch per key, so that a row which names a key that is not there spoils no others.
    """

    sources: list[HasLegacy] = field(default_factory=list)
    items: list[tuple[Context, LegacyRow]] = field(default_factory=list)

    def take(self, opened: Sequence[Opened]) -> None:
        """Hand the results to the rows, in order."""
        for source, result in zip(self.sources, opened, strict=True):
            source.take_legacy(result)

    def refuse(self, error: TwinlockError) -> None:
        """Have every row show an error in place of its values."""
        self.take([Opened(context, error) for context, _ in self.items])


def legacy_batches(sources: Iterable[RowSource]) -> list[LegacyBatch]:
    """Return what the old keys open of rows, by key; usually one batch, or none."""
    batches: dict[str, LegacyBatch] = {}
    for source in sources:
        if _is_adopted(source) and (item := source.legacy()) is not None:
            batch = batches.setdefault(item[1].key, LegacyBatch())
            batch.sources.append(source)
            batch.items.append(item)
    return list(batches.values())


@runtime_checkable
class HasRowSource(Protocol):
    """A row that knows how to be opened."""

    def __twinlock_row__(self) -> RowSource:
        """Return this row's source."""
        ...


def row_source(row: object) -> RowSource:
    """Return a row's source. Raises CallerError ``opened.no-sealed-row``."""
    if not _has_row_source(row):
        raise CallerError(
            "opened.no-sealed-row",
            f"A {type(row).__name__} has no sealed columns.",
            hint="Map them with sealed_column(), or open (context, stored) pairs with open().",
        )
    return row.__twinlock_row__()


# isinstance() with a protocol looks at each of its attributes in a roundabout way, for every row.


def _has_row_source(row: object) -> TypeGuard[HasRowSource]:
    return hasattr(row, "__twinlock_row__")


def _is_adopted(source: RowSource) -> TypeGuard[HasLegacy]:
    return hasattr(source, "legacy")
