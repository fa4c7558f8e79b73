"""The routes of passkeys: signing in with them, and registering others (SPEC 29)."""

from __future__ import annotations

from typing import Final

from twinlock.core.ports import Clock, Randomness
from twinlock.errors import CallerError
from twinlock.integrations.asgi.calls import VaultCalls
from twinlock.integrations.asgi.member_reach import Call, Reply, Route
from twinlock.integrations.asgi.member_sessions import OneUse
from twinlock.integrations.asgi.member_sign_in import MAX_SESSION, Welcome, tried
from twinlock.integrations.asgi.member_signed_in import member_signed_in
from twinlock.integrations.asgi.member_ways import (
    PASSKEY,
    PasskeyWay,
    RegistrationBegun,
    SignInBegun,
    passkey_refused,
)
from twinlock.integrations.asgi.visit import MemberOf

PASSKEY_LIFE: Final = 300
"""Seconds in which a person finds and touches a key (R-PASSKEY-6)."""
_MAX_RESPONSE: Final = 64 << 10


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
        begun = self._begun.take(call.fields.text("session", MAX_SESSION))
        if begun is None:
            raise passkey_refused()
        finished = self._calls.run(self._way.finish, begun, response)
        member = await tried(PASSKEY, finished)
        return await self._welcome.reply(call, member, PASSKEY, {}, passkey_refused)

    async def begin_registration(self, call: Call) -> Reply:
        """{name} -> {session, nonce, exclude}, for the member who is signed in."""
        member_id = await member_signed_in(self._member, call.connection)
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
        member_id = await member_signed_in(self._member, call.connection)
        response = call.fields.mapping("response")
        begun = self._registering.take(call.fields.text("session", MAX_SESSION))
        if begun is None or begun.member_id != member_id:
            raise passkey_refused()
        login = await self._calls.run(self._way.finish_registration, begun, response)
        return Reply({"login": login}, [])
