"""``MemberRoutes``: members sign in and reach their ways in over HTTP (docs/http.md, SPEC 23).

app.mount("/twinlock/member", MemberRoutes(vault, on_sign_in=welcome, scram=True))
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import Receive, Scope, Send

from twinlock.core.ports import Clock, Randomness
from twinlock.core.scram.exchange import ChannelBinding
from twinlock.errors import CallerError, TwinlockError
from twinlock.integrations.asgi.calls import MAX_WAITING, VaultCalls
from twinlock.integrations.asgi.member_passkeys import PasskeyRoutes
from twinlock.integrations.asgi.member_problems import member_problem
from twinlock.integrations.asgi.member_reach import Call, Reach, Route
from twinlock.integrations.asgi.member_recoveries import MayRecover, RecoveryRoutes
from twinlock.integrations.asgi.member_sign_in import (
    OnSignIn,
    ScramRoutes,
    SplitRoutes,
    Welcome,
)
from twinlock.integrations.asgi.member_ways import Accounts, PasskeyWay, ScramWay
from twinlock.integrations.asgi.member_wire import Fields, written
from twinlock.integrations.asgi.own_pages import network_of, require_own_page
from twinlock.integrations.asgi.problems import Answer, answer
from twinlock.integrations.asgi.visit import MemberOf, read_body
from twinlock.integrations.asgi.wire import media_type
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.vault import Vault

if TYPE_CHECKING:
    from twinlock.server.passkeys import PasskeyLogin

MAX_CHANGE: Final = 4 << 20
JSON_TYPE: Final = "application/json"

SourceOf = Callable[[HTTPConnection], str]
"""Names where a request comes from, as attempts are counted."""


class MemberRoutes:
    """An ASGI application to mount: a member's agent and sign-in page post to it.

    ``on_sign_in`` makes the application's session; without it nobody signs in here. ``member``
    returns the 16-byte id of the member who is signed in, as for ``TwinlockMiddleware``; without it
    nobody registers a passkey. ``scram`` needs the extra of that name; with ``binding`` its clients
    must bind to the server's certificate. ``may_recover`` says who may begin a recovery by
    contacts; without it none passes here. ``source`` tells where a request comes from: behind a
    proxy, what that says of it. ``origins``: the application's own, where a proxy changes ``Host``.
    ``max_change``: bytes of a member's change; one that revokes has an entry for each group.

    Exchanges under way are kept in this process: several processes need a proxy that sends a client
    to the same one.
    """

    def __init__(
        self,
        vault: Vault | AsyncVault,
        *,
        on_sign_in: OnSignIn | None = None,
        member: MemberOf | None = None,
        scram: bool = False,
        binding: ChannelBinding | None = None,
        passkeys: PasskeyLogin | None = None,
        may_recover: MayRecover | None = None,
        source: SourceOf = network_of,
        origins: Iterable[str] = (),
        max_change: int = MAX_CHANGE,
        max_waiting: int = MAX_WAITING,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> None:
        self._source = source
        self._origins = frozenset(origins)
        self._clock = clock
        calls = VaultCalls(vault, max_waiting)
        self._routes: dict[str, Route] = Reach(calls, max_change).routes()
        if may_recover is not None:
            self._routes |= RecoveryRoutes(calls, may_recover, member, clock).routes()
        if on_sign_in is None:
            return
        accounts, welcome = Accounts(calls.vault), Welcome(on_sign_in)
        self._routes |= SplitRoutes(calls, accounts, welcome).routes()
        if scram:
            way = ScramWay.of(accounts, binding)
            self._routes |= ScramRoutes(calls, way, welcome, clock, randomness).routes()
        if passkeys is not None:
            keys = PasskeyWay(accounts, passkeys)
            self._routes |= PasskeyRoutes(calls, keys, welcome, member, clock, randomness).routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            with suppress(ClientDisconnect):
                try:
                    found = await self._serve(scope, receive)
                except TwinlockError as error:
                    found = member_problem(error, self._clock)
                await _send(send, found)

    async def _serve(self, scope: Scope, receive: Receive) -> Answer:
        connection = HTTPConnection(scope)
        route = self._route(scope)
        require_own_page(connection, self._origins)
        if media_type(connection.headers) != JSON_TYPE:
            raise CallerError(
                "http.media-type",
                "These routes take JSON.",
                hint="Send it as application/json.",
            )
        body = await read_body(connection.headers, receive, route.limit)
        call = Call(connection, Fields.read(body), self._source(connection))
        reply = await route.serve(call)
        made = answer(200, JSON_TYPE, written(reply.body))
        return made._replace(headers=[*made.headers, *reply.headers])

    def _route(self, scope: Scope) -> Route:
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
        found = self._routes.get(path.removeprefix("/"))
        if found is None:
            raise CallerError(
                "http.no-route",
                "There is no such route.",
                hint="See docs/http.md for the routes, and what each needs to be there.",
            )
        if scope["method"] != "POST":
            raise CallerError(
                "http.method", "These routes take POST alone.", hint="Send it as POST."
            )
        return found


async def _send(send: Send, reply: Answer) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _live(receive: Receive, send: Send) -> None:
    """Take part in the server's start and end; there is nothing to do at either."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
