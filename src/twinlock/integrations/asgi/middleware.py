"""``TwinlockMiddleware``: the HTTP flow in front of any ASGI application (SPEC 23, docs/http.md).

A request whose handler needs sealed data is answered 428; hello and release are posted to its
address; the handler runs again with what was released. Nothing of the application is held between.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from twinlock.core.ports import Clock, Randomness
from twinlock.core.primitives import equal
from twinlock.core.release import split_signed
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.integrations.asgi.bodies import HashedBody
from twinlock.integrations.asgi.calls import MAX_WAITING, VaultCalls, malformed_release
from twinlock.integrations.asgi.exchange import SCOPE_KEY, Answered, Exchange, Needed
from twinlock.integrations.asgi.pending import Limits, Owner, Pending, PendingRequests
from twinlock.integrations.asgi.problems import Answer, answer, problem, release_needed
from twinlock.integrations.asgi.replies import Replies
from twinlock.integrations.asgi.visit import (
    Identity,
    MemberOf,
    SessionOf,
    Visit,
    check_hello,
)
from twinlock.integrations.asgi.wire import (
    HELLO_TYPE,
    MAX_HELLO_BODY,
    MAX_RELEASE_BODY,
    RELEASE_HEADER,
    RELEASE_TYPE,
    REQUEST_HEADER,
    REQUEST_TYPE,
    SAFE_METHODS,
    SESSION_HEADER,
    VARY,
    release_digest,
    to_base64url,
)
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.vault import Vault

on_application: Final[list[Callable[[object], None]]] = []
"""Called once with the application that a middleware serves, for integrations that describe it."""


class Run(NamedTuple):
    """What the application runs for: a request as it came, or as it was before its release.

    ``body``: what ``receive`` is for a request that changes something.
    """

    scope: Scope
    receive: Receive
    answered: Answered | None = None
    body: HashedBody | None = None


class TwinlockMiddleware:
    """Answers 428 where a handler needs a release, and lets the handler run again with it.

    ``session`` returns the connection's login session token, None if nobody is signed in; it must
    stay the same while the user is signed in. ``member`` returns the 16-byte id of the member that
    the user is; without it any member of the deployment may release. Both may be ``async``.
    ``node`` names this process in request ids, for proxies that route by them; random by default.

    Add it inside of whatever makes ``session`` work, and outside of nothing that catches
    exceptions: ``app.add_middleware(TwinlockMiddleware, ...)`` of Starlette does that.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        vault: Vault | AsyncVault,
        session: SessionOf,
        member: MemberOf | None = None,
        node: str | None = None,
        limits: Limits | None = None,
        max_waiting: int = MAX_WAITING,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> None:
        self.app = app
        self._pending = PendingRequests(
            limits=limits, node=node, clock=clock, randomness=randomness
        )
        self._calls = VaultCalls(vault, max_waiting)
        self._identity = Identity(session, member)
        self._met = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. What is no HTTP request passes as it is."""
        self._meet(scope.get("app"))
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = Visit(scope, receive, self._identity)
        with suppress(ClientDisconnect):
            try:
                found = await self._admit(visit, receive)
            except TwinlockError as error:
                found = problem(error)
            if isinstance(found, Run):
                await self._run(visit, found, send)
            else:
                await _send(send, found)

    def _meet(self, application: object) -> None:
        if not self._met and application is not None:
            self._met = True
            for tell in on_application:
                tell(application)

    async def _admit(self, visit: Visit, receive: Receive) -> Run | Answer:
        """Decide what a request is: a hello, a release, a repetition, or an ordinary one."""
        if visit.posted == HELLO_TYPE:
            return await self._hello(visit)
        if visit.posted == RELEASE_TYPE:
            return await self._release(visit)
        if RELEASE_HEADER in visit.headers:
            return await self._repetition(visit, receive)
        if visit.method in SAFE_METHODS:
            return Run(visit.scope, receive)
        body = HashedBody(receive)
        return Run(visit.scope, body, body=body)

    async def _hello(self, visit: Visit) -> Answer:
        pending = await self._named(visit)
        hello = await visit.body(MAX_HELLO_BODY)
        check_hello(hello, await visit.caller())
        self._pending.count_hello(pending)
        bundle = await self._calls.bind(pending.request, hello)
        self._pending.bound(pending)
        return answer(428, REQUEST_TYPE, bundle, _names(pending))

    async def _release(self, visit: Visit) -> Run | Answer:
        pending = await self._named(visit)
        release = await visit.body(MAX_RELEASE_BODY)
        _require_release(release)
        if not pending.hellos:
            raise CallerError(
                "http.not-bound",
                "No agent said hello for this request yet.",
                hint="Post the agent's hello first.",
            )
        if pending.owner.method not in SAFE_METHODS:
            self._pending.park(pending, release)
            return Answer(204, [(b"cache-control", b"no-store")], b"")
        self._pending.take(pending)
        scope, receive = visit.run_as(pending.owner.method)
        return Run(scope, receive, Answered(pending, release))

    async def _repetition(self, visit: Visit, receive: Receive) -> Run:
        visit.require_own_site()
        named = visit.release_name()
        pending = self._pending.find(named.request_id, await visit.owner())
        if pending.release is None:
            raise CallerError(
                "http.not-released",
                "No release was posted for this request.",
                hint="Post hello and release to this address first.",
            )
        _require_named(pending.release, named.digest)
        body = HashedBody(receive, pending.body)
        await body.read_ahead()
        self._pending.take(pending)
        return Run(visit.scope, body, Answered(pending, pending.release, body), body)

    async def _named(self, visit: Visit) -> Pending:
        visit.require_own_site()
        owner = await visit.owner()
        return self._pending.find(visit.request_id(), owner, any_method=True)

    async def _run(self, visit: Visit, run: Run, send: Send) -> None:
        exchange = Exchange(self._calls, visit.method, visit.caller, run.answered)
        headless = visit.method != visit.scope["method"]
        replies = Replies(send, exchange, run.body, headless=headless)
        failed: TwinlockError | None = None
        try:
            await self.app({**run.scope, SCOPE_KEY: exchange}, run.receive, replies)
        except Exception as error:
            # What a handler ended with, also where something wrapped it on its way out.
            known = exchange.needed or replies.refused or isinstance(error, TwinlockError)
            if exchange.started or not known:
                raise
            failed = error if isinstance(error, TwinlockError) else None
        finally:
            exchange.end()
        if exchange.started:
            return
        if replies.refused is not None:
            await _send(send, problem(replies.refused))
        elif exchange.needed is not None:
            await _send(send, await self._ask(visit, exchange.needed, run.body))
        elif failed is not None:
            await _send(send, problem(failed))

    async def _ask(self, visit: Visit, needed: Needed, body: HashedBody | None) -> Answer:
        digest = None if body is None else await body.digest()
        owner = Owner(needed.caller.session, visit.method, visit.target)
        try:
            hello = visit.hello_header(needed.caller) if visit.method in SAFE_METHODS else None
            bundle = None if hello is None else await self._calls.bind(needed.request, hello)
            pending = self._pending.add(owner, needed.terms, needed.items, needed.request, digest)
        except TwinlockError as error:
            return problem(error)
        if bundle is None:
            return problem(release_needed(), _names(pending))
        self._pending.count_hello(pending)
        self._pending.bound(pending)
        return answer(428, REQUEST_TYPE, bundle, _names(pending))


def _require_release(raw: bytes) -> None:
    """Refuse what is no release at all, so that it does not use up the request."""
    try:
        split_signed(raw)
    except DataError as error:
        raise malformed_release() from error


def _require_named(release: bytes, digest: str) -> None:
    """Refuse a repetition that does not name the release that was posted: who knows the
    request's id alone has not seen it. Raises CallerError ``http.other-release``.
    """
    if not equal(release_digest(release).encode(), digest.encode()):
        raise CallerError(
            "http.other-release",
            "This is not the release that was posted for this request.",
            hint="Name the SHA-256 of the release that was posted.",
        )


def _names(pending: Pending) -> tuple[tuple[str, str], ...]:
    return (
        (REQUEST_HEADER, str(pending.request_id)),
        (SESSION_HEADER, to_base64url(pending.owner.session)),
        ("vary", VARY),
    )


async def _send(send: Send, reply: Answer) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})
