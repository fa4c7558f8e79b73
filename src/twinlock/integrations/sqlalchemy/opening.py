"""Opening a page of rows without a web framework: one request, one round to the token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable
from types import TracebackType
from typing import Any, overload

from twinlock.agent.agent import Release
from twinlock.core.context import Context
from twinlock.errors import CallerError
from twinlock.integrations.rows import OpenedScope, RowSource, legacy_batches, row_source
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.groups import Group
from twinlock.server.opened import Opened
from twinlock.server.records import Stored
from twinlock.server.requests import Request
from twinlock.server.vault import Vault

Answered = Release | bytes
Answer = Callable[[Request], Answered]
AsyncAnswer = Callable[[Request], Answered | Awaitable[Answered]]
"""Turns a request into a member's release; ``agent.release`` is one."""


def sealed_items(rows: Iterable[object]) -> list[tuple[Context, Stored]]:
    """Return what a request for these rows asks for: ``vault.request(sealed_items(rows))``.

    Raises CallerError ``opened.no-sealed-row`` or ``sealed.not-loaded``.
    """
    return [item for row in rows for item in row_source(row).items()]


def opened_views(rows: Iterable[object], opened: Iterable[Opened], scope: OpenedScope) -> list[Any]:
    """Return views of rows from what ``vault.open`` returned for ``sealed_items(rows)``."""
    return _views([row_source(row) for row in rows], list(opened), scope)


class _Opening:
    """What both kinds of ``opened_rows`` have in common."""

    def __init__(self, rows: Iterable[object]) -> None:
        self._sources = [row_source(row) for row in rows]
        self._scope = OpenedScope()

    def _items(self) -> list[tuple[Context, Stored]]:
        return [item for source in self._sources for item in source.items()]

    def _views(self, opened: Sequence[Opened]) -> list[Any]:
        return _views(self._sources, list(opened), self._scope)


class OpenedRows(_Opening):
    """``with opened_rows(...) as views``: the views read plaintext inside the block."""

    def __init__(
        self,
        rows: Iterable[object],
        vault: Vault,
        answer: Answer,
        purpose: str,
        groups: Iterable[Group] | None,
    ) -> None:
        super().__init__(rows)
        self._vault, self._answer = vault, answer
        self._purpose, self._groups = purpose, groups

    def __enter__(self) -> list[Any]:
        items = self._items()
        opened: list[Opened] = []
        if items:
            request = self._vault.request(items, purpose=self._purpose, groups=self._groups)
            refused = _all_refused(request)
            opened = refused or self._vault.open(request, self._answer(request))
        for batch in legacy_batches(self._sources):
            try:
                batch.take(self._vault.open_legacy(batch.items))
            except CallerError as error:
                batch.refuse(error)
        return self._views(opened)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scope.end()


class AsyncOpenedRows(_Opening):
    """``async with opened_rows(...) as views``: the same for an ``AsyncVault``."""

    def __init__(
        self,
        rows: Iterable[object],
        vault: AsyncVault,
        answer: AsyncAnswer,
        purpose: str,
        groups: Iterable[Group] | None,
    ) -> None:
        super().__init__(rows)
        self._vault, self._answer = vault, answer
        self._purpose, self._groups = purpose, groups

    async def __aenter__(self) -> list[Any]:
        items = self._items()
        opened: list[Opened] = []
        if items:
            request = await self._vault.request(items, purpose=self._purpose, groups=self._groups)
            opened = _all_refused(request) or await self._open(request)
        for batch in legacy_batches(self._sources):
            try:
                batch.take(await self._vault.open_legacy(batch.items))
            except CallerError as error:
                batch.refuse(error)
        return self._views(opened)

    async def _open(self, request: Request) -> list[Opened]:
        answered = self._answer(request)
        release = await answered if isawaitable(answered) else answered
        return await self._vault.open(request, release)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scope.end()


@overload
def opened_rows(
    rows: Iterable[object],
    vault: Vault,
    answer: Answer,
    *,
    purpose: str = "",
    groups: Iterable[Group] | None = None,
) -> OpenedRows:
    """Open rows for the length of a ``with`` block."""


@overload
def opened_rows(
    rows: Iterable[object],
    vault: AsyncVault,
    answer: AsyncAnswer,
    *,
    purpose: str = "",
    groups: Iterable[Group] | None = None,
) -> AsyncOpenedRows:
    """Open rows for the length of an ``async with`` block."""


def opened_rows(
    rows: Iterable[object],
    vault: Vault | AsyncVault,
    answer: Any,
    *,
    purpose: str = "",
    groups: Iterable[Group] | None = None,
) -> OpenedRows | AsyncOpenedRows:
    """Open rows for the length of a ``with`` block, or ``async with`` given an ``AsyncVault``.

    ``answer`` turns the request into a member's release, for example ``agent.release``. Gives one
    view per row, in order; see ``RowView``. Rows without sealed values need no release.

    Raises on entry like ``Vault.request`` and ``Vault.open``; ``request.size`` for more than 1,000
    DEKs: open page by page.
    """
    if isinstance(vault, AsyncVault):
        return AsyncOpenedRows(rows, vault, answer, purpose, groups)
    return OpenedRows(rows, vault, answer, purpose, groups)


def _all_refused(request: Request) -> list[Opened]:
    """Return the records' errors if nothing of a request can be asked for, else nothing."""
    if any(asked.record for asked in request.asked):
        return []
    return [Opened(asked.context, asked.error) for asked in request.asked]


def _views(sources: Sequence[RowSource], opened: list[Opened], scope: OpenedScope) -> list[Any]:
    views, at = [], 0
    for source in sources:
        count = len(source.items())
        views.append(source.view(opened[at : at + count], scope))
        at += count
    return views
