"""What protects the pages themselves: response headers, and no unsafe request from elsewhere."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def content_security_policy(agent_origin: str) -> str:
    """Return the policy of all pages: own scripts and styles, and the agent's relay as a frame."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            f"frame-src {agent_origin}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


class GuardMiddleware:
    """Sets the headers, and refuses unsafe requests that another site made the browser send.

    The cookie is SameSite=Strict already; the agent's origin is the same site, so the origin is
    compared as well. A request without `Origin` does not come from a page.
    """

    def __init__(self, app: ASGIApp, agent_origin: str) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": content_security_policy(agent_origin),
            "X-Content-Type-Options": "nosniff",
            # With no-referrer, browsers would send `Origin: null` along with the site's own forms.
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, go on, and set headers on the way out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith(("/static/", "/twinlock/")):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if _foreign(HTTPConnection(scope), scope["method"]):
            answer = PlainTextResponse("This request comes from another site.", 403)
            await answer(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)


def _foreign(connection: HTTPConnection, method: str) -> bool:
    origin = connection.headers.get("origin")
    if method in _SAFE or origin is None:
        return False
    return origin != f"{connection.url.scheme}://{connection.headers.get('host', '')}"
