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

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twinlock.core.ports import Clock, Randomness
from twinlock.core.release import split_signed
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.integrations.asgi.calls import MAX_WAITING, VaultCalls, malformed_release
from twinlock.integrations.asgi.exchange import SCOPE_KEY, Answered, Exchange, Needed
from twinlock.integrations.asgi.pending import Limits, Owner, Pending, PendingRequests
from twinlock.integrations.asgi.problems import Answer, answer, problem, release_needed
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
    to_base64url,
)
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.vault import Vault

on_application: Final[list[Callable[[object], None]]] = []
"""Called once with the application that a middleware serves, for integrations that describe it."""


class Run(NamedTuple):
    """What the application runs for: a request as it came, or as it was before its release."""

    scope: Scope
    receive: Receive
    answered: Answered | None = None


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
        return Run(visit.scope, receive)

    async def _hello(self, visit: Visit) -> Answer:
        pending = await self._named(visit, REQUEST_HEADER)
        hello = await visit.body(MAX_HELLO_BODY)
        check_hello(hello, await visit.caller())
        self._pending.count_hello(pending)
        bundle = await self._calls.bind(pending.request, hello)
        self._pending.bound(pending)
        return answer(428, REQUEST_TYPE, bundle, _names(pending))

    async def _release(self, visit: Visit) -> Run | Answer:
        pending = await self._named(visit, REQUEST_HEADER)
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
        request_id = visit.request_id(RELEASE_HEADER)
        pending = self._pending.find(request_id, await visit.owner())
        if pending.release is None:
            raise CallerError(
                "http.not-released",
                "No release was posted for this request.",
                hint="Post hello and release to this address first.",
            )
        self._pending.take(pending)
        return Run(visit.scope, receive, Answered(pending, pending.release))

    async def _named(self, visit: Visit, header: str) -> Pending:
        visit.require_own_site()
        owner = await visit.owner()
        return self._pending.find(visit.request_id(header), owner, any_method=True)

    async def _run(self, visit: Visit, run: Run, send: Send) -> None:
        exchange = Exchange(self._calls, visit.method, visit.caller, run.answered)
        replies = _Replies(send, exchange, headless=visit.method != visit.scope["method"])
        failed: TwinlockError | None = None
        try:
            await self.app({**run.scope, SCOPE_KEY: exchange}, run.receive, replies)
        except Exception as error:
            # What a handler ended with, also where something wrapped it on its way out.
            if exchange.started or not (exchange.needed or isinstance(error, TwinlockError)):
                raise
            failed = error if isinstance(error, TwinlockError) else None
        finally:
            exchange.end()
        if exchange.started:
            return
        if exchange.needed is not None:
            await _send(send, await self._ask(visit, exchange.needed))
        elif failed is not None:
            await _send(send, problem(failed))

    async def _ask(self, visit: Visit, needed: Needed) -> Answer:
        owner = Owner(needed.caller.session, visit.method, visit.target)
        try:
            hello = visit.hello_header(needed.caller) if visit.method in SAFE_METHODS else None
            bundle = None if hello is None else await self._calls.bind(needed.request, hello)
            pending = self._pending.add(owner, needed.terms, needed.items, needed.request)
        except TwinlockError as error:
            return problem(error)
        if bundle is None:
            return problem(release_needed(), _names(pending))
        self._pending.count_hello(pending)
        self._pending.bound(pending)
        return answer(428, REQUEST_TYPE, bundle, _names(pending))


class _Replies:
    """The application's answer on its way out; ends the exchange when all of it was sent.

    ``headless``: the application answered HEAD, but a POST was sent, whose answer would have to
    be as long as it says.
    """

    def __init__(self, send: Send, exchange: Exchange, *, headless: bool) -> None:
        self._send = send
        self._exchange = exchange
        self._headless = headless and exchange.method == "HEAD"
        self._dropped = False

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            # A framework that made a server error of our exception is answered over.
            self._dropped = self._exchange.needed is not None and message["status"] >= 500
            if not self._dropped:
                self._exchange.started = True
                self._mark(message)
        if self._dropped:
            return
        if self._headless and kind == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)
        if kind == "http.response.body" and not message.get("more_body"):
            self._exchange.end()

    def _mark(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        if self._exchange.sealed:
            headers["Cache-Control"] = "no-store"
            headers.add_vary_header(VARY)
        if self._headless:
            del headers["content-length"]


def _require_release(raw: bytes) -> None:
    """Refuse what is no release at all, so that it does not use up the request."""
    try:
        split_signed(raw)
    except DataError as error:
        raise malformed_release() from error


def _names(pending: Pending) -> tuple[tuple[str, str], ...]:
    return (
        (REQUEST_HEADER, str(pending.request_id)),
        (SESSION_HEADER, to_base64url(pending.owner.session)),
        ("vary", VARY),
    )


async def _send(send: Send, reply: Answer) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})
