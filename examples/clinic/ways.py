"""Members' ways in over HTTP: signing in with a passkey, and what agents fetch and hand in."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from examples.clinic import sign_in
from twinlock.integrations.asgi import MemberRoutes, SignedIn
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.passkeys import PasskeyLogin

PATH: Final = "/twinlock/member"


def routes(
    vault: AsyncVault,
    sessions: async_sessionmaker[AsyncSession],
    *,
    origin: str,
    agent_origin: str,
) -> MemberRoutes:
    """Return the routes, to be mounted. A passkey's signature is for ``origin`` alone."""

    async def welcome(who: SignedIn) -> dict[str, Any] | None:
        async with sessions() as db:
            token = await sign_in.begin_as_member(db, who.member_id)
        if token is None:
            return None
        sign_in.set_cookie(who.response, token, who.connection)
        return {"next": "/patients"}

    passkeys = PasskeyLogin(
        audience=origin, agent_origin=agent_origin, unknown=vault.vault.stranger_secret
    )
    return MemberRoutes(vault, on_sign_in=welcome, member=sign_in.member_of, passkeys=passkeys)
