"""Posting to member routes: HTTPS, one address, no redirects, answers within bounds."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import httpx

from twinlock.errors import CallerError, EnvError
from twinlock.integrations.member_answers import Answer, unreadable

MAX_ANSWER: Final = 96 << 20
"""Bytes: the news of all groups as base64url are the largest answer."""
_TIMEOUT: Final = 60.0


class Posts:
    """Posts JSON under one address, and reads what is answered."""

    def __init__(self, base: httpx.URL, client: httpx.Client | None) -> None:
        self._base = base
        self._own = client is None
        self.client = httpx.Client(timeout=_TIMEOUT) if client is None else client

    def close(self) -> None:
        """Close the client, if it was made here."""
        if self._own:
            self.client.close()

    def post(self, route: str, body: Mapping[str, Any]) -> Answer:
        """Post to one route; redirects are not followed, as what is posted is for this address.

        Raises as ``MemberService`` says.
        """
        asked = self.client.build_request("POST", self._base.join(route), json=dict(body))
        try:
            response = self.client.send(asked, stream=True, follow_redirects=False)
            try:
                found = _read(response)
            finally:
                response.close()
        except httpx.TransportError as error:
            raise EnvError(
                "member-service.unreachable",
                f"{self._base.host} cannot be reached.",
                hint="Check the network and the address, and try again.",
                retryable=True,
            ) from error
        except httpx.HTTPError as error:
            raise unreadable("it cannot be read as HTTP") from error
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Answer.of(response.status_code, media_type, found)


def checked_url(url: str) -> httpx.URL:
    """Return the folder of the routes. Raises CallerError ``member-service.url``."""
    try:
        parsed = httpx.URL(url if url.endswith("/") else f"{url}/")
    except httpx.InvalidURL as error:
        raise _bad_url(url) from error
    secure = parsed.scheme == "https" or (parsed.scheme == "http" and _is_here(parsed.host))
    if not secure or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise _bad_url(url)
    return parsed


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _read(response: httpx.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > MAX_ANSWER:
            raise unreadable("it is too long")
        chunks.append(chunk)
    return b"".join(chunks)


def _bad_url(url: str) -> CallerError:
    return CallerError(
        "member-service.url",
        f"{url[:200]!r} is no address of member routes.",
        hint="Write https://host/folder/; http only for this computer.",
    )
