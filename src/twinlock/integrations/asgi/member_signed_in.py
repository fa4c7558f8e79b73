"""Who is signed in, as the application says it."""

from __future__ import annotations

import inspect

from starlette.requests import HTTPConnection

from twinlock.errors import CallerError
from twinlock.integrations.asgi.visit import MemberOf


async def member_signed_in(member_of: MemberOf | None, connection: HTTPConnection) -> bytes:
    """Return the id of the member who is signed in. Raises CallerError ``http.no-session``."""
    member = None if member_of is None else member_of(connection)
    if inspect.isawaitable(member):
        member = await member
    if member is None:
        raise CallerError(
            "http.no-session",
            "This is for signed-in members only.",
            hint="Sign in, then repeat the request.",
        )
    return member
