"""The routes that sign members in. What comes of it, a session or a token, is the application's."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.requests import HTTPConnection
from starlette.responses import Response

from twinlock.core.ports import Clock, Randomness
from twinlock.core.scram.exchange import refused as scram_refused
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, TwinlockError
from twinlock.integrations.asgi.calls import VaultCalls
from twinlock.integrations.asgi.member_reach import Call, Reply, Route
from twinlock.integrations.asgi.member_sessions import OneUse
from twinlock.integrations.asgi.member_ways import (
    SCRAM,
    SPLIT,
    Accounts,
    ScramWay,
    login_refused,
)
from twinlock.store.values import StoredMember

if TYPE_CHECKING:
    from twinlock.server.scram import ScramSession

T = TypeVar("T")

SCRAM_LIFE: Final = 60
_SECRET_SIZE: Final = 32
_MAX_MESSAGE: Final = 4096
MAX_SESSION: Final = 64
_OF_RESPONSES: Final = frozenset({"content-length", "content-type", "cache-control"})

_LOG: Final = logging.getLogger("twinlock.http")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A member who just signed in. ``way``: ``split``, ``scram`` or ``passkey``.

    ``response``: cookies and headers that are set on it are sent with the answer.
    """

    name: str
    member_id: bytes
    way: str
    connection: HTTPConnection = field(repr=False)
    response: Response = field(default_factory=Response, repr=False)


OnSignIn = Callable[[SignedIn], Awaitable[Mapping[str, Any] | None] | Mapping[str, Any] | None]
"""Makes the application's session, and returns what goes into the answer's JSON.

None refuses: the answer is that of a wrong password, and nothing of ``response`` is sent.
"""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Has the application make its session."""

    on_sign_in: OnSignIn

    async def reply(
        self,
        call: Call,
        member: StoredMember,
        way: str,
        more: Mapping[str, Any],
        refused: Callable[[], CallerError],
    ) -> Reply:
        """Return the answer to a member who signed in; ``more`` is in it too."""
        signed_in = SignedIn(member.name, member.member_id, way, call.connection)
        said = self.on_sign_in(signed_in)
        if inspect.isawaitable(said):
            said = await said
        if said is None:
            _LOG.warning("sign-in refused by the application: %s", way)
            raise refused()
        _LOG.info("signed in: %s, member %s", way, member.member_id.hex())
        headers = [
            (name, value)
            for name, value in signed_in.response.raw_headers
            if name.decode("latin-1").lower() not in _OF_RESPONSES
        ]
        return Reply({**said, **more}, headers)


class SplitRoutes:
    """Signing in with the value that the token hardened (SPEC 26)."""

    def __init__(self, calls: VaultCalls, accounts: Accounts, welcome: Welcome) -> None:
        self._calls = calls
        self._accounts = accounts
        self._welcome = welcome

    def routes(self) -> dict[str, Route]:
        """Return the routes by name."""
        return {"login": Route(self.login)}

    async def login(self, call: Call) -> Reply:
        """{name, secret} -> what the application says."""
        name = call.fields.text("name")
        secret = Secret(call.fields.exactly("secret", _SECRET_SIZE))

        def counted() -> StoredMember:
            self._calls.vault.sign_ins.count(name, call.source)
            return self._accounts.split(name, secret)

        member = await tried(SPLIT, self._calls.run(counted))
        return await self._welcome.reply(call, member, SPLIT, {}, login_refused)


class ScramRoutes:
    """Signing in by SCRAM (SPEC 27)."""

    def __init__(
        self,
        calls: VaultCalls,
        way: ScramWay,
        welcome: Welcome,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._calls = calls
        self._way = way
        self._welcome = welcome
        self._sessions: OneUse[ScramSession] = OneUse(
            SCRAM_LIFE, clock=clock, randomness=randomness
        )

    def routes(self) -> dict[str, Route]:
        """Return the routes by name."""
        return {"scram/first": Route(self.first), "scram/final": Route(self.final)}

    async def first(self, call: Call) -> Reply:
        """{message} -> {session, message}."""
        message = call.fields.text("message", _MAX_MESSAGE)

        def count(account: str) -> None:
            self._calls.vault.sign_ins.count(account, call.source)

        session = await tried(SCRAM, self._calls.run(self._way.begin, message, count))
        name = self._sessions.put(session, call.source)
        return Reply({"session": name, "message": session.server_first}, [])

    async def final(self, call: Call) -> Reply:
        """{session, message} -> {message}, and what the application says."""
        message = call.fields.text("message", _MAX_MESSAGE)
        session = self._sessions.take(call.fields.text("session", MAX_SESSION))
        if session is None:
            raise scram_refused()
        finished = self._calls.run(self._way.finish, session, message)
        member, answer = await tried(SCRAM, finished)
        return await self._welcome.reply(call, member, SCRAM, {"message": answer}, scram_refused)


async def tried(way: str, attempt: Awaitable[T]) -> T:
    """Await an attempt, and note one that was refused."""
    try:
        return await attempt
    except TwinlockError as error:
        _LOG.warning("sign-in refused: %s, %s", way, error.code)
        raise
