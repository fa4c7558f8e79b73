"""``Releases``: how a handler opens what it loaded, with the member who looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from starlette.requests import HTTPConnection

from twinlock.core.context import Context
from twinlock.errors import CallerError
from twinlock.integrations.asgi.asks import Ask, Item, Terms
from twinlock.integrations.asgi.exchange import SCOPE_KEY, Exchange
from twinlock.integrations.rows import (
    LegacyBatch,
    OpenedScope,
    RowSource,
    legacy_batches,
    row_source,
)
from twinlock.server.groups import Group
from twinlock.server.opened import Opened
from twinlock.server.records import Stored

T = TypeVar("T")


class Releases:
    """Opens rows and values for one HTTP request, with one release of the signed-in member.

    Load everything first and open it in one call: the first call of a run ends it with 428, the
    member's agent answers, and the handler runs again from its beginning. What comes back can be
    read until the answer has been sent. ``loaded`` is what ``releases(items=...)`` opened.
    """

    def __init__(self, exchange: Exchange, terms: Terms) -> None:
        self._exchange = exchange
        self._terms = terms
        self.loaded: Sequence[Any] = ()

    @classmethod
    def of(
        cls,
        connection: HTTPConnection,
        *,
        purpose: str = "",
        groups: Iterable[str | Group] | None = None,
    ) -> Self:
        """Return what opens for a request. ``groups``: whose records are expected, or all.

        Raises CallerError ``http.no-middleware``.
        """
        exchange = connection.scope.get(SCOPE_KEY)
        if not isinstance(exchange, Exchange):
            raise CallerError(
                "http.no-middleware",
                "This request did not pass through TwinlockMiddleware.",
                hint="Add it with app.add_middleware(TwinlockMiddleware, vault=..., session=...).",
            )
        names = None
        if groups is not None:
            names = tuple(g if isinstance(g, str) else g.name for g in groups)
        return cls(exchange, Terms(purpose, names))

    @property
    def sync(self) -> SyncReleases:
        """The same for handlers that are plain functions and run in a thread."""
        return SyncReleases(self._exchange, self._terms)

    async def opened(self, rows: Iterable[object], *, first: bool = False) -> list[Any]:
        """Open all sealed columns of rows in one round; return one view for each row, in order.

        Rows that hold nothing sealed need no release. ``first``: for methods other than GET and
        HEAD, says that nothing was changed yet, so that the request can end here and be repeated.

        Raises CallerError ``opened.no-sealed-row`` and ``http.*``; a release that is refused as
        ``Vault.open``; ``ReleaseNeeded``, which a handler lets pass.
        """
        plan = _Plan.of(rows)
        opened = await self._exchange.open(Ask.of(self._terms, plan.items), first=first)
        await self._exchange.open_legacy(plan.legacy)
        return plan.views(opened, self._exchange.scope)

    async def open(
        self, items: Iterable[tuple[Context, Stored]], *, first: bool = False
    ) -> list[Opened]:
        """Open pairs of context and stored value in one round. Raises as ``opened``."""
        return await self._exchange.open(Ask.of(self._terms, items), first=first)

    async def load(self, named: object) -> None:
        """Open what ``releases(items=...)`` named, before the handler's body: ``loaded`` then.

        ``named``: a row or pair, or an iterable of rows or of pairs. Raises as ``opened``.
        """
        entries = _as_list(named)
        if entries and all(_is_pair(entry) for entry in entries):
            self.loaded = await self.open(entries, first=True)
        else:
            self.loaded = await self.opened(entries, first=True)


class SyncReleases:
    """``Releases`` for a handler that runs in a thread; its calls wait for the event loop."""

    def __init__(self, exchange: Exchange, terms: Terms) -> None:
        self._exchange = exchange
        self._terms = terms

    def opened(self, rows: Iterable[object], *, first: bool = False) -> list[Any]:
        """As ``Releases.opened``. Raises CallerError ``http.blocking`` on the event loop."""
        plan = _Plan.of(rows)
        opened = self.open(plan.items, first=first)
        self._wait(self._exchange.open_legacy(plan.legacy))
        return plan.views(opened, self._exchange.scope)

    def open(self, items: Iterable[tuple[Context, Stored]], *, first: bool = False) -> list[Opened]:
        """As ``Releases.open``. Raises CallerError ``http.blocking`` on the event loop."""
        ask = Ask.of(self._terms, items)
        return self._wait(self._exchange.open(ask, first=first))

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(coroutine, self._exchange.loop).result()
        coroutine.close()
        raise CallerError(
            "http.blocking",
            "The event loop cannot wait for itself.",
            hint="In `async def` handlers use Releases itself, not its sync twin.",
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """Rows taken apart into items, to be put together again as views."""

    sources: Sequence[tuple[RowSource, int]]
    items: Sequence[Item]

    @classmethod
    def of(cls, rows: Iterable[object]) -> Self:
        sources: list[tuple[RowSource, int]] = []
        items: list[Item] = []
        for row in rows:
            source = row_source(row)
            own = source.items()
            sources.append((source, len(own)))
            items += own
        return cls(sources, items)

    @property
    def legacy(self) -> list[LegacyBatch]:
        """What no member has to release, in tables that are being adopted."""
        return legacy_batches(source for source, _ in self.sources)

    def views(self, opened: Sequence[Opened], scope: OpenedScope) -> list[Any]:
        views, at = [], 0
        for source, count in self.sources:
            views.append(source.view(opened[at : at + count], scope))
            at += count
        return views


def _is_pair(entry: object) -> bool:
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], Context)


def _as_list(named: Any) -> list[Any]:
    if _is_pair(named) or hasattr(named, "__twinlock_row__"):
        return [named]
    return list(named)
