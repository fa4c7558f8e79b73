"""Requests that wait for a member's release: in this process, bounded in number, bytes and time.

What one login session began, no other can continue; what was answered once is not answered again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from twinlock.core.ports import Clock, Randomness
from twinlock.core.request import MAX_REQUEST_LIFE
from twinlock.errors import CallerError, DataError, EnvError
from twinlock.integrations.asgi.asks import Item, Key, Terms, held_bytes
from twinlock.integrations.asgi.wire import RequestId, to_base64url
from twinlock.server.requests import Request

WAIT_FOR_HELLO: Final = 300
"""Seconds in which an agent may say hello: a person may have to unlock it first."""
MAX_HELLOS: Final = 8
"""Times that one request is bound: each costs the token a signature."""
_SPENT_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait: requests in all and of one login session, and bytes of records in all."""

    requests: int = 2000
    per_session: int = 32
    held_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose request it is: login session in its public form, method, path with query."""

    session: bytes
    method: str
    target: bytes


@dataclass(slots=True)
class Pending:
    """One request that waits. ``expires`` is in seconds since the epoch."""

    request_id: RequestId
    owner: Owner
    terms: Terms
    items: Mapping[Key, Item] = field(repr=False)
    request: Request = field(repr=False)
    size: int
    expires: int
    hellos: int = 0
    release: bytes | None = field(default=None, repr=False)
    """A release that was posted for an unsafe request and waits for its repetition."""
    body: bytes | None = None
    """SHA-256 of an unsafe request's body: its repetition has the same."""


class PendingRequests:
    """The requests that wait in this process. Safe for many threads."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        node: str | None = None,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> None:
        self.node = node or to_base64url(randomness(9))
        self._limits = limits or Limits()
        self._clock = clock
        self._randomness = randomness
        self._lock = threading.Lock()
        self._waiting: OrderedDict[RequestId, Pending] = OrderedDict()
        self._by_session: dict[bytes, list[RequestId]] = {}
        self._spent: OrderedDict[RequestId, Owner] = OrderedDict()
        self._held = 0
        self._swept = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def held_bytes(self) -> int:
        """About how many bytes of records wait."""
        return self._held

    def add(
        self,
        owner: Owner,
        terms: Terms,
        items: Mapping[Key, Item],
        request: Request,
        body: bytes | None = None,
    ) -> Pending:
        """Begin to wait. The oldest of a session that has too many goes. ``body``: its SHA-256.

        Raises EnvError ``http.busy`` when too much waits in all.
        """
        size = held_bytes(items)
        with self._lock:
            self._sweep()
            own = self._by_session.get(owner.session, [])
            if len(own) >= self._limits.per_session:
                self._drop(own[0])
            full = len(self._waiting) >= self._limits.requests
            if full or self._held + size > self._limits.held_bytes:
                raise EnvError(
                    "http.busy",
                    "Too many requests wait for a member's release.",
                    hint="Repeat the request in a moment.",
                    retryable=True,
                )
            request_id = RequestId(self.node, to_base64url(self._randomness(16)))
            expires = self._clock() + WAIT_FOR_HELLO
            made = Pending(request_id, owner, terms, items, request, size, expires, body=body)
            self._waiting[request_id] = made
            self._by_session.setdefault(owner.session, []).append(request_id)
            self._held += size
            return made

    def find(self, request_id: RequestId, asker: Owner, *, any_method: bool = False) -> Pending:
        """Return what waits under an id, for the session and address that it belongs to.

        ``any_method``: hello and release are posted, whatever the request's own method.

        Raises CallerError ``http.request-unknown``, ``http.request-expired``,
        ``http.other-session`` or ``http.other-request``, DataError ``release.replayed``.
        """
        with self._lock:
            found = self._waiting.get(request_id)
            self._sweep()
            owner = self._spent.get(request_id) if found is None else found.owner
            if owner is None:
                raise CallerError(
                    "http.request-unknown",
                    "This process has no such request: it ended, or another process made it.",
                    hint="Repeat the original request.",
                )
            _require_owner(owner, asker, any_method)
            if found is None:
                raise replayed()
            if self._clock() > found.expires:
                raise CallerError(
                    "http.request-expired",
                    "This request waited too long for its release.",
                    hint="Repeat the original request.",
                )
            return found

    def count_hello(self, pending: Pending) -> None:
        """Note that a request is about to be bound. Raises CallerError ``http.hellos``."""
        with self._lock:
            if pending.hellos >= MAX_HELLOS:
                self._drop(pending.request_id)
                raise CallerError(
                    "http.hellos",
                    f"This request was bound to agents {MAX_HELLOS} times.",
                    hint="Repeat the original request.",
                )
            pending.hellos += 1

    def bound(self, pending: Pending) -> None:
        """Note that a request was bound: from now on it lives as long as its request does."""
        with self._lock:
            pending.expires = self._clock() + MAX_REQUEST_LIFE

    def park(self, pending: Pending, release: bytes) -> None:
        """Keep a release until its request is repeated. Raises DataError ``release.replayed``."""
        with self._lock:
            if pending.release is not None or pending.request_id not in self._waiting:
                raise replayed()
            pending.release = release

    def take(self, pending: Pending) -> None:
        """Take a request out, to open it. Only one caller can; the others raise
        DataError ``release.replayed``.
        """
        with self._lock:
            if pending.request_id not in self._waiting:
                raise replayed()
            self._drop(pending.request_id)
            self._spent[pending.request_id] = pending.owner
            if len(self._spent) > _SPENT_KEPT:
                self._spent.popitem(last=False)

    def _drop(self, request_id: RequestId) -> None:
        gone = self._waiting.pop(request_id)
        own = self._by_session[gone.owner.session]
        own.remove(request_id)
        if not own:
            del self._by_session[gone.owner.session]
        self._held -= gone.size

    def _sweep(self) -> None:
        """Drop what expired; at most once a second, since it looks at everything."""
        now = self._clock()
        if now != self._swept:
            self._swept = now
            for request_id in [i for i, p in self._waiting.items() if now > p.expires]:
                self._drop(request_id)


def replayed() -> DataError:
    """Return the error for a release of a request that was answered before."""
    return DataError(
        "release.replayed",
        "This request was answered before; a release opens once.",
        hint="Repeat the original request.",
    )


def _require_owner(owner: Owner, asker: Owner, any_method: bool) -> None:
    if owner.session != asker.session:
        raise CallerError(
            "http.other-session",
            "This request belongs to another login session.",
            hint="Repeat the original request in this session.",
        )
    if owner.target != asker.target or not (any_method or owner.method == asker.method):
        raise CallerError(
            "http.other-request",
            "This request was made for another address or method.",
            hint="Answer at the address that answered 428.",
        )
