"""Where rows and releases meet: what a mapped row tells, and what comes back while it is shown.

A web framework's release opens rows of any mapper through ``RowSource``; a mapper fills it in
without knowing of requests. Plaintext lives in an ``OpenedScope`` and goes when that ends.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from twinlock.core.context import Context
from twinlock.errors import CallerError
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
class HasRowSource(Protocol):
    """A row that knows how to be opened."""

    def __twinlock_row__(self) -> RowSource:
        """Return this row's source."""
        ...


def row_source(row: object) -> RowSource:
    """Return a row's source. Raises CallerError ``opened.no-sealed-row``."""
    if not isinstance(row, HasRowSource):
        raise CallerError(
            "opened.no-sealed-row",
            f"A {type(row).__name__} has no sealed columns.",
            hint="Map them with sealed_column(), or open (context, stored) pairs with open().",
        )
    return row.__twinlock_row__()
