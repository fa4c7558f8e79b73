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
    PASSKEY,
    SCRAM,
    SPLIT,
    Accounts,
    PasskeyWay,
    RegistrationBegun,
    ScramWay,
    SignInBegun,
    login_refused,
    passkey_refused,
)
from twinlock.integrations.asgi.visit import MemberOf
from twinlock.store.values import StoredMember

if TYPE_CHECKING:
    from twinlock.server.scram import ScramSession

T = TypeVar("T")

SCRAM_LIFE: Final = 60
PASSKEY_LIFE: Final = 300
"""Seconds in which a person finds and touches a key (R-PASSKEY-6)."""
_SECRET_SIZE: Final = 32
_MAX_MESSAGE: Final = 4096
_MAX_SESSION: Final = 64
_MAX_RESPONSE: Final = 64 << 10
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

        member = await _tried(SPLIT, self._calls.run(counted))
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

        session = await _tried(SCRAM, self._calls.run(self._way.begin, message, count))
        name = self._sessions.put(session, call.source)
        return Reply({"session": name, "message": session.server_first}, [])

    async def final(self, call: Call) -> Reply:
        """{session, message} -> {message}, and what the application says."""
        message = call.fields.text("message", _MAX_MESSAGE)
        session = self._sessions.take(call.fields.text("session", _MAX_SESSION))
        if session is None:
            raise scram_refused()
        finished = self._calls.run(self._way.finish, session, message)
        member, answer = await _tried(SCRAM, finished)
        return await self._welcome.reply(call, member, SCRAM, {"message": answer}, scram_refused)


class PasskeyRoutes:
    """Signing in with passkeys, and registering others (SPEC 29)."""

    def __init__(
        self,
        calls: VaultCalls,
        way: PasskeyWay,
        welcome: Welcome,
        member: MemberOf | None,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._calls = calls
        self._way = way
        self._welcome = welcome
        self._member = member
        self._begun: OneUse[SignInBegun] = OneUse(PASSKEY_LIFE, clock=clock, randomness=randomness)
        self._registering: OneUse[RegistrationBegun] = OneUse(
            PASSKEY_LIFE, clock=clock, randomness=randomness
        )

    def routes(self) -> dict[str, Route]:
        """Return the routes by name; without ``member`` nobody registers."""
        signing = {
            "sign-in/begin": Route(self.begin),
            "sign-in/finish": Route(self.finish, _MAX_RESPONSE),
        }
        if self._member is None:
            return signing
        registering = {
            "register/begin": Route(self.begin_registration),
            "register/finish": Route(self.finish_registration, _MAX_RESPONSE),
        }
        return signing | registering

    async def begin(self, call: Call) -> Reply:
        """{name or null} -> {session, nonce, allow}."""
        name = call.fields.name("name")

        def counted() -> SignInBegun:
            self._calls.vault.sign_ins.count(name, call.source)
            return self._way.begin(name)

        begun = await self._calls.run(counted)
        session = self._begun.put(begun, call.source)
        return Reply({"session": session, **begun.challenge.options}, [])

    async def finish(self, call: Call) -> Reply:
        """{session, response} -> what the application says."""
        response = call.fields.mapping("response")
        begun = self._begun.take(call.fields.text("session", _MAX_SESSION))
        if begun is None:
            raise passkey_refused()
        finished = self._calls.run(self._way.finish, begun, response)
        member = await _tried(PASSKEY, finished)
        return await self._welcome.reply(call, member, PASSKEY, {}, passkey_refused)

    async def begin_registration(self, call: Call) -> Reply:
        """{name} -> {session, nonce, exclude}, for the member who is signed in."""
        member_id = await self._signed_in(call)
        name = call.fields.name("name")

        def checked() -> RegistrationBegun:
            found = None if name is None else self._calls.vault.members.by_name(name)
            if found is not None and found.member_id != member_id:
                raise CallerError(
                    "http.other-member",
                    "Another member is signed in than the one who registers a passkey.",
                    hint="Sign in as that member.",
                )
            return self._way.begin_registration(member_id)

        begun = await self._calls.run(checked)
        session = self._registering.put(begun, call.source)
        return Reply({"session": session, **begun.challenge.options}, [])

    async def finish_registration(self, call: Call) -> Reply:
        """{session, response} -> {login}, for the member's next change."""
        member_id = await self._signed_in(call)
        response = call.fields.mapping("response")
        begun = self._registering.take(call.fields.text("session", _MAX_SESSION))
        if begun is None or begun.member_id != member_id:
            raise passkey_refused()
        login = await self._calls.run(self._way.finish_registration, begun, response)
        return Reply({"login": login}, [])

    async def _signed_in(self, call: Call) -> bytes:
        member = None if self._member is None else self._member(call.connection)
        if inspect.isawaitable(member):
            member = await member
        if member is None:
            raise CallerError(
                "http.no-session",
                "Passkeys are registered by signed-in members only.",
                hint="Sign in, then repeat the request.",
            )
        return member


async def _tried(way: str, attempt: Awaitable[T]) -> T:
    """Await an attempt, and note one that was refused."""
    try:
        return await attempt
    except TwinlockError as error:
        _LOG.warning("sign-in refused: %s, %s", way, error.code)
        raise
