"""The application's answer on its way out: marked, held back where another one takes its place."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

from twinlock.errors import TwinlockError
from twinlock.integrations.asgi.bodies import HashedBody
from twinlock.integrations.asgi.exchange import Exchange
from twinlock.integrations.asgi.wire import VARY


class Replies:
    """The application's answer on its way out; ends the exchange when all of it was sent.

    ``headless``: the application answered HEAD, but a POST was sent, whose answer would have to
    be as long as it says. What it says about a body that was refused is answered over.
    """

    def __init__(
        self, send: Send, exchange: Exchange, body: HashedBody | None, *, headless: bool
    ) -> None:
        self._send = send
        self._exchange = exchange
        self._body = body
        self._headless = headless and exchange.method == "HEAD"
        self._dropped = False

    @property
    def refused(self) -> TwinlockError | None:
        """Why the repetition's body was refused."""
        return None if self._body is None else self._body.refused

    async def __call__(self, message: Message) -> None:
        """Pass one message on, or drop it."""
        kind = message["type"]
        if kind == "http.response.start":
            # A framework that made a server error of our exception is answered over.
            failed = self._exchange.needed is not None and message["status"] >= 500
            self._dropped = failed or self.refused is not None
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
