"""One run of the application for one HTTP request: what it asks for, and what was opened for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.integrations.asgi.asks import Ask, Item, Key, Terms
from twinlock.integrations.asgi.bodies import HashedBody
from twinlock.integrations.asgi.calls import VaultCalls
from twinlock.integrations.asgi.pending import Pending
from twinlock.integrations.asgi.wire import SAFE_METHODS
from twinlock.integrations.rows import LegacyBatch, OpenedScope
from twinlock.server.opened import Opened
from twinlock.server.requests import Request

SCOPE_KEY: Final = "twinlock"
MAX_CALLS: Final = 3
"""Calls in one handler that ask for something new: each costs the member another round."""


class Caller(NamedTuple):
    """Who asks: the login session in its public form, and the member who is signed in, if known."""

    session: bytes
    member: bytes | None


class Answered(NamedTuple):
    """What this run may open: a request that a member answered, and the release.

    ``body``: that of a repetition, which must be the one that the release was asked for.
    """

    pending: Pending
    release: bytes
    body: HashedBody | None = None


class ReleaseNeeded(Exception):  # noqa: N818 - a signal, not an error
    """Ends a handler that needs a member's release first; the middleware answers 428.

    Let it pass: what the handler holds (a database session) is given back on its way out. It is no
    TwinlockError, so that a handler which deals with those does not stop it by accident.
    """


@dataclass(frozen=True, slots=True)
class LentOpened(Opened):
    """An opened record that can be read until its HTTP request ends."""

    scope: OpenedScope = field(default_factory=OpenedScope, repr=False)

    def data(self, column: str | None = None) -> Secret:
        """As ``Opened.data``; raises CallerError ``opened.ended`` when the request has ended."""
        self.scope.require_live()
        return Opened.data(self, column)


class Needed(NamedTuple):
    """What a run ended for: everything that it asked for, as a request of the vault."""

    caller: Caller
    terms: Terms
    items: dict[Key, Item]
    request: Request


class Exchange:
    """What the middleware and the handler share while a request runs. ``scope`` ends with it."""

    def __init__(
        self,
        calls: VaultCalls,
        method: str,
        identify: Callable[[], Awaitable[Caller]],
        answered: Answered | None = None,
    ) -> None:
        self.scope = OpenedScope()
        self.method = method
        self.loop = asyncio.get_running_loop()
        self.needed: Needed | None = None
        self.started = False
        self._calls = calls
        self._identify = identify
        self._answered = answered
        self._terms: Terms | None = None
        self._asked: dict[Key, Item] = {}
        self._rounds = 0
        self._one_at_a_time = asyncio.Lock()
        self._opened: dict[Key, Opened] = {}
        self._legacy = False

    @property
    def sealed(self) -> bool:
        """True when something was opened, so that no cache may keep the answer."""
        return bool(self._opened) or self._legacy

    def end(self) -> None:
        """End it: what was opened is gone."""
        self.scope.end()
        self._opened.clear()

    async def open(self, ask: Ask, *, first: bool) -> list[Opened]:
        """Open what is asked for, or end the run with ``ReleaseNeeded``.

        Raises CallerError ``http.*``, and like ``Vault.request`` and ``Vault.open``.
        """
        async with self._one_at_a_time:
            self.scope.require_live()
            new = {key: item for key, item in ask.items.items() if key not in self._opened}
            self._note(ask, first)
            if new:
                if self._answers(ask):
                    await self._open_answered()
                else:
                    await self._ask(ask.terms, new)
            return [self._opened[key] for key in ask.keys]

    async def open_legacy(self, batches: Iterable[LegacyBatch]) -> None:
        """Open what rows of adopted tables hold under old keys, which needs no member.

        Raises CallerError ``http.too-late`` where the answer began as one that caches may keep.
        """
        for batch in batches:
            self.scope.require_live()
            if not self.sealed:
                self._require_not_started()
            self._legacy = True
            await self._calls.open_legacy(batch)

    def _note(self, ask: Ask, first: bool) -> None:
        """Note what is asked for, also what an earlier call's release opened already."""
        if ask.items and self._terms not in (None, ask.terms):
            # Also for what is open: it was checked for the groups of the terms before.
            raise CallerError(
                "http.one-purpose",
                "One request opens for one purpose and the same groups throughout.",
                hint="Use one releases() for all that a handler opens.",
            )
        if ask.items.keys() <= self._asked.keys():
            return
        self._asked |= ask.items
        self._rounds += 1
        self._require_not_started()
        if not (self.method in SAFE_METHODS or first):
            raise CallerError(
                "http.open-first",
                "A request that changes something opens before it does anything else.",
                hint="Name what it opens with releases(items=...), or pass first=True.",
            )
        if self._rounds > MAX_CALLS:
            raise CallerError(
                "http.too-many-opens",
                f"One request opens in at most {MAX_CALLS} calls; each asks the member again.",
                hint="Load everything first, and open it in one call.",
            )
        self._terms = ask.terms

    def _require_not_started(self) -> None:
        if self.started:
            raise CallerError(
                "http.too-late",
                "The answer has begun, so nothing more can be opened for it.",
                hint="Open everything before the response starts.",
            )

    def _answers(self, ask: Ask) -> bool:
        """True if the member released, in this very request, all that is asked for now."""
        if self._answered is None:
            return False
        pending = self._answered.pending
        return pending.terms == ask.terms and pending.items.keys() >= ask.items.keys()

    async def _open_answered(self) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            if answered.body is not None:
                answered.body.require_same()
            opened = await self._calls.open(answered.pending.request, answered.release)
            self._lend(answered.pending.items, opened)

    async def _ask(self, terms: Terms, new: dict[Key, Item]) -> None:
        caller = await self._identify()
        request = await self._calls.request(new.values(), terms)
        if not any(asked.record for asked in request.asked):
            # Nothing in it can be released, so nobody has to be asked to show why.
            self._lend(new, [Opened(asked.context, asked.error) for asked in request.asked])
            return
        if len(new) != len(self._asked):
            request = await self._calls.request(self._asked.values(), terms)
        self.needed = Needed(caller, terms, dict(self._asked), request)
        raise ReleaseNeeded

    def _lend(self, items: Any, opened: list[Opened]) -> None:
        for key, found in zip(items, opened, strict=True):
            values = dict(found._values)
            self.scope.forget_at_end(values)
            self._opened[key] = LentOpened(found.context, found.error, values, self.scope)
