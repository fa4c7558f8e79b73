"""The body of a request that changes something: hashed as it passes, and kept nowhere whole.

What a member releases for such a request serves the repetition with the same body only.
"""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from twinlock.core.primitives import equal
from twinlock.errors import CallerError


class HashedBody:
    """A request's ``receive``, which hashes what the application reads.

    ``expected``: the SHA-256 that the whole body must have. Another body is refused before its
    last part is handed on, so that no application ever has all of it.
    """

    AHEAD: Final = 64 << 10
    """Bytes that are read before the application runs: shorter bodies are compared by then."""

    def __init__(self, receive: Receive, expected: bytes | None = None) -> None:
        self._receive = receive
        self._expected = expected
        self._hash = hashlib.sha256()
        self._complete = False
        self._ahead: bytearray | None = None
        self.refused: CallerError | None = None

    async def __call__(self) -> Message:
        """Receive the next message. Raises CallerError ``http.other-body``."""
        self.require_same()
        if self._ahead is None:
            return await self._next()
        ahead, self._ahead = bytes(self._ahead), None
        return {"type": "http.request", "body": ahead, "more_body": not self._complete}

    async def read_ahead(self) -> None:
        """Read a short body whole, and the beginning of a long one, for the application.

        Raises CallerError ``http.other-body``, ClientDisconnect.
        """
        self._ahead = bytearray()
        while len(self._ahead) < self.AHEAD and not self._complete:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._ahead += message.get("body", b"")

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._complete:
            self._hash.update(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._complete:
                self._compare()
        return message

    async def digest(self) -> bytes:
        """Return the SHA-256 of the whole body, after reading past what nobody read.

        Raises ClientDisconnect.
        """
        while not self._complete:
            if (await self._next())["type"] == "http.disconnect":
                raise ClientDisconnect
        return self._hash.digest()

    def require_same(self) -> None:
        """Raise CallerError ``http.other-body`` if another body than the expected one was read."""
        if self.refused is not None:
            raise self.refused

    def _compare(self) -> None:
        if self._expected is not None and not equal(self._expected, self._hash.digest()):
            self.refused = CallerError(
                "http.other-body",
                "This request has another body than the one that a release was asked for.",
                hint="Repeat the original request with its own body, or begin anew.",
            )
            self.require_same()
