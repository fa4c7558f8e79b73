"""One HTTP request on its way in: who sends it, what it names, its body within bounds."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import Message, Receive, Scope

from twinlock.core.primitives import equal, sha256
from twinlock.core.request import Hello, decode_hello
from twinlock.errors import CallerError, DataError
from twinlock.integrations.asgi.exchange import Caller
from twinlock.integrations.asgi.pending import Owner
from twinlock.integrations.asgi.wire import (
    HELLO_HEADER,
    MAX_HELLO_HEADER,
    RELEASE_HEADER,
    REQUEST_HEADER,
    ReleaseName,
    RequestId,
    from_base64url,
    malformed_hello,
    media_type,
    parse_release_name,
    parse_request_id,
    public_session,
)

SessionOf = Callable[[HTTPConnection], Awaitable[str | bytes | None] | str | bytes | None]
MemberOf = Callable[[HTTPConnection], Awaitable[bytes | None] | bytes | None]

_BODY_HEADERS: Final = (b"content-type", b"content-length", b"transfer-encoding")


@dataclass(frozen=True, slots=True)
class Identity:
    """The application's two answers about a connection; either may be awaitable."""

    session: SessionOf
    member: MemberOf | None

    async def caller(self, connection: HTTPConnection) -> Caller:
        """Return who asks. Raises CallerError ``http.no-session`` or ``http.no-member``."""
        token = self.session(connection)
        if inspect.isawaitable(token):
            token = await token
        if not token:
            raise CallerError(
                "http.no-session",
                "Sealed data is shown to signed-in users only.",
                hint="Sign in, then repeat the request.",
            )
        if self.member is None:
            return Caller(public_session(token), None)
        member = self.member(connection)
        if inspect.isawaitable(member):
            member = await member
        if member is None:
            raise CallerError(
                "http.no-member",
                "The signed-in user is not a member who can release sealed data.",
                hint="Have the user's member connected with the account.",
            )
        return Caller(public_session(token), member)


class Visit:
    """An incoming request. ``method`` is what the application runs it as."""

    def __init__(self, scope: Scope, receive: Receive, identity: Identity) -> None:
        self.scope = scope
        self.connection = HTTPConnection(scope)
        self.headers = self.connection.headers
        self.method: str = scope["method"]
        self.target = _target(scope)
        self._receive = receive
        self._identity = identity
        self._caller: Caller | None = None

    @property
    def posted(self) -> str:
        """The media type of a POST, else empty."""
        return media_type(self.headers) if self.scope["method"] == "POST" else ""

    async def caller(self) -> Caller:
        """Return who asks. Raises as ``Identity.caller``."""
        if self._caller is None:
            self._caller = await self._identity.caller(self.connection)
        return self._caller

    async def owner(self) -> Owner:
        """Return whose request this is. Raises as ``caller``."""
        return Owner((await self.caller()).session, self.method, self.target)

    def require_own_site(self) -> None:
        """Refuse what a browser says comes from another site. Raises ``http.cross-site``."""
        if self.headers.get("sec-fetch-site", "").lower() == "cross-site":
            raise CallerError(
                "http.cross-site",
                "Another site sent this.",
                hint="Answer from a page of the application's own site.",
            )

    def request_id(self) -> RequestId:
        """Return the request that is answered. Raises CallerError ``http.request-id``."""
        return parse_request_id(self.headers.get(REQUEST_HEADER, ""))

    def release_name(self) -> ReleaseName:
        """Return the release that is repeated for. Raises CallerError ``http.request-id``."""
        return parse_release_name(self.headers.get(RELEASE_HEADER, ""))

    async def body(self, limit: int) -> bytes:
        """Read the body. Raises CallerError ``http.too-large``, if it can before reading."""
        return await read_body(self.headers, self._receive, limit)

    def hello_header(self, caller: Caller) -> bytes | None:
        """Return the hello that came with the request; None for none, or one of a session that
        has ended: the client learns the new one with the 428.

        Raises DataError ``hello.malformed``, CallerError ``http.header-too-large`` or
        ``http.other-member``.
        """
        text = self.headers.get(HELLO_HEADER)
        # The answer to HEAD has no body to put a request into.
        if text is None or "HEAD" in (self.method, self.scope["method"]):
            return None
        if len(text) > MAX_HELLO_HEADER:
            raise CallerError(
                "http.header-too-large",
                f"A Twinlock-Hello has at most {MAX_HELLO_HEADER} characters.",
                hint="Send the request without it, and post the hello.",
            )
        raw = from_base64url(text)
        hello = read_hello(raw)
        if not equal(hello.session_hash, sha256(caller.session)):
            return None
        _require_member(hello, caller)
        return raw

    def run_as(self, method: str) -> tuple[Scope, Receive]:
        """Return the request as one of another method, without body, whose body was read."""
        self.method = method
        kept = [(k, v) for k, v in self.scope["headers"] if k.lower() not in _BODY_HEADERS]
        read = False

        async def receive() -> Message:
            nonlocal read
            if read:
                return await self._receive()
            read = True
            return {"type": "http.request", "body": b"", "more_body": False}

        return {**self.scope, "method": method, "headers": kept}, receive


async def read_body(headers: Mapping[str, str], receive: Receive, limit: int) -> bytes:
    """Read a body whole. Raises CallerError ``http.too-large``, ClientDisconnect."""
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(chunks)


def check_hello(raw: bytes, caller: Caller) -> None:
    """Check that a hello is for this login session and member.

    Raises DataError ``hello.malformed``, CallerError ``http.other-session``, ``http.other-member``.
    """
    hello = read_hello(raw)
    if not equal(hello.session_hash, sha256(caller.session)):
        raise CallerError(
            "http.other-session",
            "This hello is for another login session.",
            hint="Make it with the Twinlock-Session of the 428 answer.",
        )
    _require_member(hello, caller)


def read_hello(raw: bytes) -> Hello:
    """Decode a hello. Raises DataError ``hello.malformed``."""
    try:
        return decode_hello(raw)
    except DataError as error:
        raise malformed_hello() from error


def _require_member(hello: Hello, caller: Caller) -> None:
    if caller.member is not None and not equal(hello.member_id, caller.member):
        raise CallerError(
            "http.other-member",
            "This agent is another member's than the one who is signed in.",
            hint="Unlock the agent of the member who is signed in, or sign in as that member.",
        )


def _target(scope: Scope) -> bytes:
    path = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return bytes(path) + b"?" + query


def _too_large(limit: int) -> CallerError:
    return CallerError(
        "http.too-large",
        f"This body has more than {limit} bytes.",
        hint="Send what the agent returned, and nothing else.",
    )
