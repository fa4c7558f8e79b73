"""Signing in: a cookie that only this site sends, and who is behind it.

`SignInMiddleware` looks the cookie up once per request, before Twinlock's middleware, which asks it
for the login session and for the member whose agent may answer.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.clinic.models import LoginSession, Staff
from examples.clinic.passwords import check_password

COOKIE: Final = "clinic_session"
LIFE: Final = timedelta(hours=8)
_KEY: Final = "clinic.signed_in"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is behind a request. ``ward`` None means all; ``token``, the cookie's, is secret."""

    username: str
    full_name: str
    role: str
    ward: str | None
    admin: bool
    member_id: bytes
    token: str


class SignInMiddleware:
    """Puts who is signed in into the scope, for whatever runs inside."""

    def __init__(self, app: ASGIApp, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look the cookie up, and go on."""
        if scope["type"] == "http":
            scope[_KEY] = await self._look_up(_cookie(HTTPConnection(scope)))
        await self._app(scope, receive, send)

    async def _look_up(self, token: str | None) -> SignedIn | None:
        if token is None:
            return None
        query = (
            select(Staff)
            .join(LoginSession, LoginSession.username == Staff.username)
            .where(LoginSession.token_hash == _hash(token), LoginSession.expires > _now())
        )
        async with self._sessions() as db:
            staff = await db.scalar(query)
        if staff is None:
            return None
        return SignedIn(
            staff.username,
            staff.full_name,
            staff.role,
            staff.ward,
            staff.admin,
            staff.member_id,
            token,
        )


def signed_in(connection: HTTPConnection) -> SignedIn | None:
    """Return who is signed in; None when nobody is."""
    found = connection.scope.get(_KEY)
    return found if isinstance(found, SignedIn) else None


def session_of(connection: HTTPConnection) -> str | None:
    """Return the login session, for Twinlock's middleware."""
    who = signed_in(connection)
    return None if who is None else who.token


def member_of(connection: HTTPConnection) -> bytes | None:
    """Return the 16-byte id of the member whose agent may answer, for Twinlock's middleware."""
    who = signed_in(connection)
    return None if who is None else who.member_id


async def begin(db: AsyncSession, username: str, password: str) -> str | None:
    """Begin a login and return its cookie's value; None when name or password is wrong."""
    staff = await db.get(Staff, username)
    if not check_password(password, staff.password if staff is not None else None):
        return None
    return await _begun(db, username)


async def begin_as_member(db: AsyncSession, member_id: bytes) -> str | None:
    """Begin a login of whom a passkey signed in; None for a member who has no account here."""
    username = await db.scalar(select(Staff.username).where(Staff.member_id == member_id))
    return None if username is None else await _begun(db, username)


async def _begun(db: AsyncSession, username: str) -> str:
    token = secrets.token_urlsafe(32)
    await db.execute(delete(LoginSession).where(LoginSession.expires <= _now()))
    db.add(LoginSession(token_hash=_hash(token), username=username, expires=_now() + LIFE))
    await db.commit()
    return token


def set_cookie(answer: Response, token: str, connection: HTTPConnection) -> None:
    """Have a browser keep a login: for this site alone, and out of reach of scripts."""
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(LIFE.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=connection.url.scheme == "https",
    )


async def end(db: AsyncSession, token: str) -> None:
    """End a login."""
    await db.execute(delete(LoginSession).where(LoginSession.token_hash == _hash(token)))
    await db.commit()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _now() -> datetime:
    return datetime.now(UTC)


def _cookie(connection: HTTPConnection) -> str | None:
    return connection.cookies.get(COOKIE)
